"""A small network two of whose units have weights of equal shapes."""

from torch import Tensor, nn


class EqualNet(nn.Module):
    """Four convolutions with batch norm; ``low`` and ``mid`` can take each other's places."""

    def __init__(self, num_classes: int, in_chans: int, img_size: tuple[int, int] | None) -> None:
        super().__init__()
        self.stem = _block(in_chans)
        self.low = _block(4)
        self.mid = _block(4)
        self.high = nn.Sequential(_block(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(4, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {name: [name] for name in ("stem", "low", "mid", "high")}

    def get_classifier(self) -> nn.Linear:
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.high(self.mid(self.low(self.stem(x)))))
        return y


def _block(in_chans: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_chans, 4, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(4), nn.ReLU())
