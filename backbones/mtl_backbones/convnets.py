"""Convolutional networks of "Learned Weight Sharing for Deep Multi-Task Learning".

Prellberg and Kramer, IJCNN 2020, arXiv 2003.10159; layer lists as in the published code, whose
convolutions have no bias. Each network is a plain sequence of its units.
"""

from collections import OrderedDict
from typing import ClassVar

from torch import nn

from .sequence import UnitSequence, check_images


class ConvNet(UnitSequence):
    """Convolutions, each followed by a pooling that halves the image, then dense layers.

    A subclass says how wide they are. Takes (B, in_chans, H, W) with H, W of at least two to the
    number of convolutions.

    Args:
        num_classes: width of the classifier.
        in_chans: channels of the images.
        img_size: their height and width.

    Raises:
        MtlError: if the images are too small for the poolings.
    """

    label: ClassVar[str]
    convolutions: ClassVar[tuple[int, ...]]
    dense_layers: ClassVar[dict[str, int]] = {}
    average: ClassVar[bool] = False

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int] | None) -> None:
        halved = 2 ** len(self.convolutions)
        height, width = check_images(self.label, img_size, halved)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, out_chans in enumerate(self.convolutions, 1):
            layers[f"conv{number}"] = _conv(in_chans, out_chans)
            in_chans = out_chans
        features = in_chans * (1 if self.average else (height // halved) * (width // halved))
        if self.average:
            layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        for name, out_features in self.dense_layers.items():
            layers[name] = _dense(features, out_features)
            features = out_features
        layers["classifier"] = nn.Linear(features, num_classes)
        super().__init__(layers)


class DklConvNet(ConvNet):
    """Network for DKL-MNIST: three convolutions of 32 channels, one dense layer of 128.

    Units: ``conv1``, ``conv2``, ``conv3``, ``dense``. The dense layer's width follows from the
    image size (288 for 28x28).
    """

    label = "dkl_convnet"
    convolutions = (32, 32, 32)
    dense_layers: ClassVar = {"dense": 128}


class CifarConvNet(ConvNet):
    """Network for CIFAR-100: four convolutions of 32 channels, three dense layers of 128.

    The convolutions are the stem, which all tasks share in every variant of the paper; units:
    ``dense1``, ``dense2``, ``dense3``. The architecture is that of Rosenbaum et al., ICLR 2018.
    """

    label = "cifar_convnet"
    convolutions = (32, 32, 32, 32)
    dense_layers: ClassVar = {"dense1": 128, "dense2": 128, "dense3": 128}
    stem = ("conv1", "conv2", "conv3", "conv4")


class OmniglotConvNet(ConvNet):
    """Network for Omniglot: four convolutions of 53 channels, global average pooling.

    Units: ``conv1`` to ``conv4``. The convolutions are those of Meyerson and Miikkulainen, ICLR
    2018; the pooling before the classifier is in the code of LWS only.
    """

    label = "omniglot_convnet"
    convolutions = (53, 53, 53, 53)
    average = True


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
