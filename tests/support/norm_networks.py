"""Networks of batch norms, for the tests of routing."""

from torch import Tensor, nn


class Stem(nn.Module):
    def __init__(self, num_classes: int, in_chans: int, img_size: object = None) -> None:
        super().__init__()
        self.stem = nn.BatchNorm1d(4)
        self.one = nn.Linear(4, 4)
        self.head = nn.Linear(4, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {"one": ["one"]}

    def get_classifier(self) -> nn.Linear:
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.one(self.stem(x)))
        return y
