"""A backbone is the convolutional network of the paper's Omniglot experiments."""

from collections import OrderedDict

from torch import nn

from mtl_framework import MtlError

CHANNELS = 53
POOLINGS = 4


class PtaConvNet(nn.Sequential):
    """It has four 3x3 convolutions of 53 channels, each with ReLU, 2x2 max-pooling and dropout.

    The units are ``conv1`` to ``conv4``. Inputs are (B, in_chans, H, W) with H, W >= 16; the
    classifier reads 53 * (H // 16) * (W // 16) numbers, 1908 for 105x105 images.

    Args:
        num_classes: number of outputs of the classifier.
        in_chans: number of channels of the images.
        img_size: height and width of the images.
        drop_rate: dropout rate behind every pooling, 0 to 1; 0.5 in the paper.

    Raises:
        MtlError: if the images are too small for four poolings.

    Source: Meyerson and Miikkulainen 2018, arXiv 1803.04062, section 4.1; the activation is that of
    the network it is taken from (Meyerson and Miikkulainen, ICLR 2018, arXiv 1711.00108).
    """

    classifier: nn.Linear

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        img_size: tuple[int, int] | None,
        drop_rate: float = 0.5,
    ) -> None:
        least = 2**POOLINGS
        if img_size is None or min(img_size) < least:
            found = (
                "inputs without height and width"
                if img_size is None
                else "x".join(map(str, img_size))
            )
            raise MtlError(
                f"backbone 'pta_convnet' needs images of at least {least}x{least} pixels, found "
                f"{found}"
            )
        height, width = (size // least for size in img_size)
        convolutions = {
            f"conv{number + 1}": _convolution(CHANNELS if number else in_chans, drop_rate)
            for number in range(POOLINGS)
        }
        super().__init__(
            OrderedDict(
                **convolutions,
                flatten=nn.Flatten(),
                classifier=nn.Linear(CHANNELS * height * width, num_classes),
            )
        )

    def units(self) -> dict[str, list[str]]:
        """Return the units with the submodules that make them up, in execution order."""
        return {f"conv{number + 1}": [f"conv{number + 1}"] for number in range(POOLINGS)}

    def get_classifier(self) -> nn.Linear:
        """Return the last layer."""
        return self.classifier


def _convolution(in_chans: int, drop_rate: float) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_chans, CHANNELS, kernel_size=3, padding=1),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
            drop=nn.Dropout(drop_rate),
        )
    )
