"""A strategy reports a :class:`Step` after every iteration of its training."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """A strategy reports a step at every yield.

    Args:
        loss: the training loss: a scalar, or (..., tasks) so that a NaN can be traced to its task.
        metrics: further numbers for the metrics file and the progress bar, e.g. ``entropy``.
            Tensors are read only when they are written, so that the device need not be waited for.
    """

    loss: Tensor
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)
