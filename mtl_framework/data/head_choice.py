"""A task's head, as a config or a suite chooses it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HeadChoice:
    """A head by name, with its options.

    Args:
        name: of the head.
        factory: makes a decoder ``(channels of the maps, number of outputs, **options)``.
        options: complete and checked.
    """

    name: str
    factory: Callable[..., Any] = field(compare=False, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, channels: Sequence[int], num_outputs: int) -> Any:
        """A fresh decoder."""
        return self.factory(list(channels), num_outputs, **self.options)
