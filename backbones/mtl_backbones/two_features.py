"""A linear map to two features: room for one pair of directions, and for nothing beside it."""

from math import prod

from torch import Tensor, nn


class TwoFeatures(nn.Module):
    """One unit, ``features``, and a head: the smallest network in which sharing has to choose.

    Args:
        num_classes: outputs.
        in_chans: size of the first dimension of an input.
        img_size: sizes of the others, where there are others.
    """

    def __init__(
        self, num_classes: int, in_chans: int, img_size: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Flatten(), nn.Linear(prod((in_chans, *(img_size or ()))), 2, bias=False)
        )
        self.fc = nn.Linear(2, num_classes)

    def units(self) -> dict[str, list[str]]:
        """Its unit; with ``shared: []`` in the backbone's options it can be shared or not."""
        return {"features": ["features"]}

    def get_classifier(self) -> nn.Module:
        """Give the last layer."""
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores of the classes."""
        y: Tensor = self.fc(self.features(x))
        return y
