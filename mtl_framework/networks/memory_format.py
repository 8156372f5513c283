"""The memory format of images inside networks is chosen here."""

import torch
from torch import nn


def image_format(model: nn.Module, group_major: bool) -> torch.memory_format:
    """Return the memory format of images and convolutions in ``model``.

    Group-major rows go with channels-last images, in which CPUs are fastest. An exception: oneDNN's
    AVX2 kernel for the input gradient of a strided 1x1 convolution writes past its buffer where
    images are channels-last and the convolution reads fewer than eight channels, so that the
    process dies in its allocator (seen with torch 2.14.1: 4 and 6 channels; 8 and 12 are well).
    Networks with such a layer stay contiguous.

    Args:
        model: the model, all copies of all units included.
        group_major: whether the rows of a path lie together in memory.
    """
    if not group_major or any(map(_overruns_channels_last, model.modules())):
        return torch.contiguous_format
    return torch.channels_last


def set_format(network: nn.Module, lying: torch.memory_format) -> None:
    """Let the weights of convolutions lie in memory as images do.

    Nothing else sets it: fused optimisers walk through the memory of weights and moments, so these
    should stay alike from when the networks are built and moved.

    Strides say the format even where memory is the same in both: a convolution that reads one
    channel, of shape (32, 1, 3, 3), gives channels-last images with strides (9, 1, 3, 1) and
    contiguous ones with (9, 9, 3, 1). ``Tensor.contiguous`` would leave the latter; ``Tensor.to``
    does not.
    """
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=lying)


def _overruns_channels_last(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.in_channels < 8
    )
