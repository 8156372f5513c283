"""A task's head, as a config or a suite chooses it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: The head of a task with maps for which nobody chooses one, with all its options.
DEFAULT_NAME = "fpn"
DEFAULT_OPTIONS: Mapping[str, Any] = {"width": 64, "dropout": 0.0}


@dataclass(frozen=True)
class HeadChoice:
    """The head that a task gets: its name, how it is made, and its options.

    Args:
        name: name of the head, as ``mtl list heads`` shows it.
        factory: a callable ``(channels of the feature maps, number of outputs, **options)`` that
            returns a decoder.
        options: every option of the head, checked, defaults filled in.

        auxiliary: a further head of the task's, for training only; ``None``: there is none.

    A run's folder records name and options; :func:`mtl_framework.load_run` looks the name up among
    the installed heads, and builds the suite where there is none of that name.
    """

    name: str
    factory: Callable[..., Any] = field(compare=False, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    auxiliary: "AuxiliaryHead | None" = None

    def make(self, channels: Sequence[int], num_outputs: int) -> Any:
        """Make a decoder with freshly initialised weights."""
        return self.factory(list(channels), num_outputs, **self.options)


@dataclass(frozen=True)
class AuxiliaryHead:
    """A further head of a task with maps, which learns the same from all maps but the deepest.

    It is there in training only: predictions, extracted networks and exports are without it.

    Args:
        choice: name and options of the head.
        loss_weight: factor, above 0, with which the head's loss is added to the task's.

    Source: Zhao et al. 2017, Pyramid Scene Parsing Network, arXiv 1612.01105, section 3.3: 0.4.
    """

    choice: HeadChoice
    loss_weight: float = 0.4
