"""LeNet, as Meyerson and Miikkulainen 2019 use it."""

from collections import OrderedDict

from torch import nn

from .sequence import UnitSequence, check_images

_LEAST = 10  # pixels: the second pooling is left with one


class LeNet(UnitSequence):
    """Two 5x5 convolutions of 16 channels, dense layers of 128 and 96, a classifier.

    Units: ``conv1``, ``conv2``, ``fc1``, ``fc2``. Each convolution has padding 1 and is followed by
    ReLU and 2x2 max-pooling; on 32x32 images 576 features enter ``fc1``. In blocks of 16x16 the
    layers between the first and the last have 361.

    Source: Meyerson and Miikkulainen, "Modular Universal Reparameterization", NeurIPS 2019, by
    their published code, whose convolutions always pad by 1.

    Args:
        num_classes: width of the classifier.
        in_chans: channels of the images.
        img_size: their height and width, at least 10.

    Raises:
        MtlError: if the inputs are no images, or too small.
    """

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int] | None) -> None:
        height, width = (_pooled(_pooled(n)) for n in check_images("lenet", img_size, _LEAST))
        super().__init__(
            OrderedDict(
                conv1=_conv(in_chans, 16),
                conv2=_conv(16, 16),
                flatten=nn.Flatten(),
                fc1=_dense(16 * height * width, 128),
                fc2=_dense(128, 96),
                classifier=nn.Linear(96, num_classes),
            )
        )


def _conv(in_chans: int, out_chans: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_chans, out_chans, kernel_size=5, padding=1),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
        )
    )


def _dense(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(linear=nn.Linear(in_features, out_features), relu=nn.ReLU(inplace=True))
    )


def _pooled(size: int) -> int:
    """Pixels left of ``size`` by a 5x5 convolution with padding 1 and a pooling."""
    return (size - 2) // 2
