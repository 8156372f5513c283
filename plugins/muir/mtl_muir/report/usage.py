"""Training writes down who uses which hypermodules, and figures read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mtl_framework import MtlError

if TYPE_CHECKING:
    from ..method.model import GeneratedNetworks

MOST_SUBSETS = 5  # tasks whose subsets are counted one by one
MOST_LOCATIONS = 64  # of mappings that are written down whole


def users(
    mapping: Int64[Tensor, " locations"], tasks: Int64[Tensor, " locations"], num_modules: int
) -> Bool[Tensor, "modules tasks"]:
    """Say which tasks use each module."""
    used = torch.zeros(num_modules, int(tasks.max()) + 1, dtype=torch.bool, device=mapping.device)
    used[mapping, tasks] = True
    return used


def count_by_users(used: Bool[Tensor, "modules tasks"]) -> Int64[Tensor, " kinds"]:
    """Count modules by the tasks that use them.

    For up to 5 tasks the counts are by subset, numbered in binary with task 0 as the lowest bit,
    and without the empty one; for more they are by how many tasks use them, from 1 on.
    """
    tasks = used.shape[1]
    if tasks <= MOST_SUBSETS:
        bits = 2 ** torch.arange(tasks, device=used.device)
        return (used * bits).sum(1).bincount(minlength=2**tasks)[1:]
    return used.sum(1).bincount(minlength=tasks + 1)[1:]


def kinds(names: Sequence[str]) -> list[str]:
    """Name the entries of :func:`count_by_users`."""
    if len(names) > MOST_SUBSETS:
        return [f"{n} task{'s' if n > 1 else ''}" for n in range(1, len(names) + 1)]
    return [
        " + ".join(name for t, name in enumerate(names) if subset >> t & 1)
        for subset in range(1, 2 ** len(names))
    ]


@dataclass(frozen=True)
class Places:
    """Places say where locations are: every generated weight's task, name and number of blocks.

    They lie in a run's checkpoint, so that figures need not build the networks again.
    """

    weights: tuple[tuple[str, str, int], ...]

    @classmethod
    def of(cls, network: "GeneratedNetworks") -> "Places":
        """Return the places of a network's locations, in their order."""
        return cls(
            tuple(
                (task.name, weight.name, weight.grid.count)
                for task, weights in zip(network.tasks, network.generated, strict=True)
                for weight in weights
            )
        )

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Places":
        """Read :meth:`state_dict`."""
        return cls(tuple((str(t), str(w), int(n)) for t, w, n in state["weights"]))

    @property
    def task_names(self) -> tuple[str, ...]:
        """Return the names of all tasks, in order."""
        return tuple(dict.fromkeys(task for task, _, _ in self.weights))

    def tasks_of_locations(self) -> Int64[Tensor, " locations"]:
        """Return the position of every location's task."""
        numbers = [self.task_names.index(task) for task, _, _ in self.weights]
        return torch.tensor(numbers).repeat_interleave(self._counts())

    def weights_of_locations(self) -> Int64[Tensor, " locations"]:
        """Return the position of every location's weight."""
        return torch.arange(len(self.weights)).repeat_interleave(self._counts())

    def _counts(self) -> Tensor:
        return torch.tensor([count for _, _, count in self.weights])

    def state_dict(self) -> dict[str, Any]:
        """Return the weights as plain values."""
        return {"weights": [list(weight) for weight in self.weights]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Refuse a state of other weights; there is nothing to restore.

        Raises:
            MtlError: if the state is of other weights.
        """
        if Places.from_state(state) != self:
            raise MtlError("the saved hypermodules generate the weights of other layers")
