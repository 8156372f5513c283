"""A plain model undergoes named changes, which a saved network remembers."""

from collections.abc import Callable

from torch import nn

from ..support.errors import MtlError


def small_images(model: nn.Module, backbone: str) -> None:
    """Give a ResNet the form used for CIFAR: 3x3 stem with stride 1, no max-pool.

    He et al. 2016, section 4.2; also what the experiments of Prellberg and Kramer 2020 use.

    Raises:
        MtlError: if the model is not one of timm's ResNets.
    """
    conv, pool = getattr(model, "conv1", None), getattr(model, "maxpool", None)
    if isinstance(conv, nn.Sequential) and isinstance(conv[0], nn.Conv2d) and pool is not None:
        conv[0].stride = (1, 1)  # a deep stem has 3x3 convolutions already
    elif isinstance(conv, nn.Conv2d) and pool is not None:
        new = nn.Conv2d(
            conv.in_channels, conv.out_channels, 3, stride=1, padding=1, bias=conv.bias is not None
        )
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        model.conv1 = new
    else:
        raise MtlError(
            f"backbone.small_images: {backbone!r} is not a ResNet with a stem convolution and a "
            "max-pool"
        )
    model.maxpool = nn.Identity()


SURGERY: dict[str, Callable[[nn.Module, str], None]] = {"small_images": small_images}
"""Every change by its name."""
