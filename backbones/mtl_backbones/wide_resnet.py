"""Wide residual networks, as Meyerson and Miikkulainen 2019 use them."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .sequence import check_images

_LEAST = 3  # pixels: the stem has no padding


class WideBlock(nn.Module):
    """Pre-activation block of two 3x3 convolutions; where the width changes, a third on the side.

    Args:
        in_chans: channels that come in.
        out_chans: channels that go out.
        stride: stride of the first convolution, and of the one on the side.
        bias: whether the convolutions have a bias.
    """

    def __init__(self, in_chans: int, out_chans: int, stride: int, bias: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_chans)
        self.conv1 = nn.Conv2d(in_chans, out_chans, 3, stride, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(out_chans)
        self.conv2 = nn.Conv2d(out_chans, out_chans, 3, padding=1, bias=bias)
        self.shortcut = (
            nn.Conv2d(in_chans, out_chans, 3, stride, padding=1, bias=bias)
            if (in_chans, stride) != (out_chans, 1)
            else None
        )

    def forward(self, x: Float[Tensor, "rows in h w"]) -> Float[Tensor, "rows out h2 w2"]:
        """Compute the sum of both ways."""
        side = x if self.shortcut is None else self.shortcut(x)
        inner = self.conv1(F.relu(self.bn1(x)))
        out: Tensor = self.conv2(F.relu(self.bn2(inner))) + side
        return out


class WideResNet(nn.Module):
    """WRN-40-1: a 3x3 stem without padding, three groups of six blocks, average pooling.

    Units: ``stem``, one a block, ``norm``. The groups have 16, 32 and 64 channels times ``width``;
    the second and third halve the image. Shortcuts between groups are 3x3 convolutions. In blocks
    of 16x16 the 3x3 convolutions but the stem have 2268. Stem and classifier start normal by He et
    al. 2015, the rest as torch's layers do.

    Source: Zagoruyko and Komodakis 2016; stem and shortcuts by Meyerson and Miikkulainen, "Modular
    Universal Reparameterization", NeurIPS 2019.

    Args:
        num_classes: width of the classifier.
        in_chans: channels of the images.
        img_size: their height and width, at least 3.
        blocks: number of blocks of each group; depth is 6 * blocks + 4.
        width: multiplies the channels.
        bias: whether the blocks' convolutions have a bias, which the published code has
            beside the norms.

    Raises:
        MtlError: if the inputs are no images, or too small.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        img_size: tuple[int, int] | None,
        blocks: int = 6,
        width: int = 1,
        bias: bool = False,
    ) -> None:
        check_images("wrn_40_1", img_size, _LEAST)
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 16, 3, bias=False)
        chans = 16
        groups = []
        for group, out_chans in enumerate((16 * width, 32 * width, 64 * width)):
            layers = []
            for number in range(blocks):
                stride = 2 if group and not number else 1
                layers.append(WideBlock(chans, out_chans, stride, bias))
                chans = out_chans
            groups.append(nn.Sequential(*layers))
        self.groups = nn.Sequential(*groups)
        self.norm = nn.BatchNorm2d(chans)
        self.classifier = nn.Linear(chans, num_classes)
        for layer in (self.stem, self.classifier):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Float[Tensor, "rows in h w"]) -> Float[Tensor, "rows classes"]:
        """Compute class scores."""
        features = F.relu(self.norm(self.groups(self.stem(x))))
        scores: Tensor = self.classifier(features.mean((2, 3)))
        return scores

    def units(self) -> dict[str, list[str]]:
        """Units with the submodules that make them up, in execution order."""
        blocks = [name for name, m in self.named_modules() if isinstance(m, WideBlock)]
        return {name: [name] for name in ("stem", *blocks, "norm")}

    def get_classifier(self) -> nn.Linear:
        """Give the last layer."""
        return self.classifier
