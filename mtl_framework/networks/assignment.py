"""An assignment by name says which weights tasks use at the end of a run."""

from dataclasses import dataclass

from .model import Sharing


@dataclass(frozen=True)
class Assignment:
    """Task ``tasks[t]`` uses weight ``weights[u][t]`` of unit ``units[u]`` at the end of a run."""

    units: tuple[str, ...]
    tasks: tuple[str, ...]
    weights: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, sharing: Sharing) -> "Assignment":
        """Make an assignment by name from one by number."""
        rows = sharing.weights.tolist()
        return cls(tuple(sharing.units), tuple(sharing.tasks), tuple(tuple(row) for row in rows))
