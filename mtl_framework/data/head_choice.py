"""A task's head, as a config or a suite chooses it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HeadChoice:
    """The head that a task gets: its name, how it is made, and its options.

    Args:
        name: name of the head, as ``mtl list heads`` shows it.
        factory: a callable ``(channels of the feature maps, number of outputs, **options)`` that
            returns a decoder.
        options: every option of the head, checked, defaults filled in.
    """

    name: str
    factory: Callable[..., Any] = field(compare=False, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, channels: Sequence[int], num_outputs: int) -> Any:
        """Make a decoder with freshly initialised weights."""
        return self.factory(list(channels), num_outputs, **self.options)
