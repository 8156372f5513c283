"""Which weights tasks use at the end of a run, by name."""

from dataclasses import dataclass

from .model import Sharing


@dataclass(frozen=True)
class Assignment:
    """Which weight ``weights[u][t]`` of unit ``units[u]`` task ``tasks[t]`` uses at the end."""

    units: tuple[str, ...]
    tasks: tuple[str, ...]
    weights: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, sharing: Sharing) -> "Assignment":
        """The same as plain numbers."""
        rows = sharing.weights.tolist()
        return cls(tuple(sharing.units), tuple(sharing.tasks), tuple(tuple(row) for row in rows))
