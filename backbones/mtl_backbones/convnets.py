"""Convolutional networks of "Learned Weight Sharing for Deep Multi-Task Learning".

Prellberg and Kramer, IJCNN 2020, arXiv 2003.10159; layer lists as in the published code, whose
convolutions have no bias. Each network is a plain sequence of its units.
"""

from collections import OrderedDict

from torch import nn

from mtl_framework import MtlError


class DklConvNet(nn.Sequential):
    """Network for DKL-MNIST: three convolutions of 32 channels, one dense layer of 128.

    Units: ``conv1``, ``conv2``, ``conv3``, ``dense``. Takes (B, in_chans, H, W) with H, W >= 8;
    the dense layer's width follows from the image size (288 for 28x28).

    Args:
        num_classes: width of the classifier.
        in_chans: channels of the images.
        img_size: their height and width.

    Raises:
        MtlError: if the images are too small for three poolings.
    """

    classifier: nn.Linear

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int] | None) -> None:
        height, width = _pooled_size("dkl_convnet", img_size, poolings=3)
        super().__init__(
            OrderedDict(
                conv1=_conv(in_chans, 32),
                conv2=_conv(32, 32),
                conv3=_conv(32, 32),
                flatten=nn.Flatten(),
                dense=_dense(32 * height * width, 128),
                classifier=nn.Linear(128, num_classes),
            )
        )

    def units(self) -> dict[str, list[str]]:
        """Units with the submodules that make them up, in execution order."""
        return {name: [name] for name in ("conv1", "conv2", "conv3", "dense")}

    def get_classifier(self) -> nn.Linear:
        """The last layer."""
        return self.classifier


class CifarConvNet(nn.Sequential):
    """Network for CIFAR-100: four convolutions of 32 channels, three dense layers of 128.

    The convolutions are the stem, which all tasks share in every variant of the paper; units:
    ``dense1``, ``dense2``, ``dense3``. The architecture is that of Rosenbaum et al., ICLR 2018.
    Takes (B, in_chans, H, W) with H, W >= 16 (32x32 gives 128 features).

    Args:
        num_classes: width of the classifier.
        in_chans: channels of the images.
        img_size: their height and width.

    Raises:
        MtlError: if the images are too small for four poolings.
    """

    classifier: nn.Linear

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int] | None) -> None:
        height, width = _pooled_size("cifar_convnet", img_size, poolings=4)
        super().__init__(
            OrderedDict(
                conv1=_conv(in_chans, 32),
                conv2=_conv(32, 32),
                conv3=_conv(32, 32),
                conv4=_conv(32, 32),
                flatten=nn.Flatten(),
                dense1=_dense(32 * height * width, 128),
                dense2=_dense(128, 128),
                dense3=_dense(128, 128),
                classifier=nn.Linear(128, num_classes),
            )
        )

    def units(self) -> dict[str, list[str]]:
        """Units with the submodules that make them up, in execution order."""
        stem = {"stem": ["conv1", "conv2", "conv3", "conv4"]}
        return stem | {name: [name] for name in ("dense1", "dense2", "dense3")}

    def get_classifier(self) -> nn.Linear:
        """The last layer."""
        return self.classifier


class OmniglotConvNet(nn.Sequential):
    """Network for Omniglot: four convolutions of 53 channels, global average pooling.

    Units: ``conv1`` to ``conv4``. The convolutions are those of Meyerson and Miikkulainen, ICLR
    2018; the pooling before the classifier is in the code of LWS only. Takes (B, in_chans, H, W)
    with H, W >= 16 (105x105 in the paper).

    Args:
        num_classes: width of the classifier.
        in_chans: channels of the images.
        img_size: their height and width.

    Raises:
        MtlError: if the images are too small for four poolings.
    """

    classifier: nn.Linear

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int] | None) -> None:
        _pooled_size("omniglot_convnet", img_size, poolings=4)
        super().__init__(
            OrderedDict(
                conv1=_conv(in_chans, 53),
                conv2=_conv(53, 53),
                conv3=_conv(53, 53),
                conv4=_conv(53, 53),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                classifier=nn.Linear(53, num_classes),
            )
        )

    def units(self) -> dict[str, list[str]]:
        """Units with the submodules that make them up, in execution order."""
        return {name: [name] for name in ("conv1", "conv2", "conv3", "conv4")}

    def get_classifier(self) -> nn.Linear:
        """The last layer."""
        return self.classifier


def _conv(in_chans: int, out_chans: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_chans, out_chans, kernel_size=3, padding=1, bias=False),
            bn=nn.BatchNorm2d(out_chans),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
        )
    )


def _dense(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(linear=nn.Linear(in_features, out_features), relu=nn.ReLU(inplace=True))
    )


def _pooled_size(name: str, img_size: tuple[int, int] | None, poolings: int) -> tuple[int, int]:
    """Height and width after so many halvings, rounded down."""
    least = 2**poolings
    if img_size is None:
        raise MtlError(f"backbone {name!r} needs images, found inputs without height and width")
    height, width = img_size
    if min(height, width) < least:
        raise MtlError(
            f"backbone {name!r} needs images of at least {least}x{least} pixels, found "
            f"{height}x{width}"
        )
    return height // least, width // least
