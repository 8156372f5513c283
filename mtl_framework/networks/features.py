"""Heads read features of whole inputs, or maps of several depths."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from ..data.batches import LabelledRows

#: (rows, ...) what a linear head reads; or maps (rows, channels, height, width), finest first.
#: By sample, (rows, samples, ...) and (rows, samples, channels, height, width).
Features = Float[Tensor, "_ ..."] | tuple[Float[Tensor, "_ _ ..."], ...]


def each(function: Callable[[Tensor], Tensor], features: Features) -> Features:
    """Apply a function of one tensor to features, or to each of several maps."""
    if isinstance(features, Tensor):
        return function(features)
    return tuple(function(x) for x in features)


@dataclass(frozen=True)
class TaskRows:
    """Task rows are the rows of a task's own paths, which its head reads.

    Args:
        features: features of all rows, in one of the two orders.
        examples: B, the number of examples.
        which: for each sample the group of rows that it uses.
        group_major: whether the order is row g * B + b, else it is b * G + g.
    """

    features: Features
    examples: int
    which: Int64[Tensor, " samples"]
    group_major: bool = False

    def like(self) -> Tensor:
        """Return the features, or the first of the maps."""
        return self.features if isinstance(self.features, Tensor) else self.features[0]

    def by_example(self, rows: Shaped[Tensor, "rows ..."]) -> Shaped[Tensor, "examples groups ..."]:
        """Take the first dimension apart of a tensor with a row for each (example, group) pair."""
        if self.group_major:
            return torch.unflatten(rows, 0, (-1, self.examples)).transpose(0, 1)
        return torch.unflatten(rows, 0, (self.examples, -1))

    def by_sample(self) -> Features:
        """Return the features (examples, samples, ...) of every sample."""
        return each(lambda x: self.by_example(x).index_select(1, self.which), self.features)

    def labelled(
        self, selected: LabelledRows, targets: Shaped[Tensor, "examples ..."]
    ) -> tuple["TaskRows", Shaped[Tensor, "rows ..."]]:
        """Return the rows of examples with a label, and a target for each of them.

        With two groups, targets a, b become a, b, a, b for group-major rows, else a, a, b, b.
        """
        rows = self
        if selected.mask is not None:
            examples = int(selected.mask.sum())
            chosen = each(lambda x: self._flat(selected.of(self.by_example(x))[0]), self.features)
            rows = TaskRows(chosen, examples, self.which, self.group_major)
            (targets,) = selected.of(targets)
        groups = len(rows.like()) // max(1, rows.examples)
        if self.group_major:
            return rows, targets.repeat(groups, *[1] * (targets.ndim - 1))
        return rows, targets.repeat_interleave(groups, 0)

    def _flat(self, x: Shaped[Tensor, "examples groups ..."]) -> Shaped[Tensor, "rows ..."]:
        return (x.transpose(0, 1) if self.group_major else x).flatten(0, 1)
