"""A linear model is the smallest backbone."""

from math import prod

from torch import nn


class Linear(nn.Sequential):
    """One dense layer on the numbers of an input, in their order.

    Args:
        num_classes: outputs.
        in_chans: size of the first dimension of an input.
        img_size: sizes of the others, where there are others.
        bias: whether there is one.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        img_size: tuple[int, int] | None = None,
        bias: bool = True,
    ) -> None:
        features = prod((in_chans, *(img_size or ())))
        super().__init__(nn.Flatten(), nn.Linear(features, num_classes, bias=bias))

    def get_classifier(self) -> nn.Module:
        """Give the last layer."""
        return self[1]
