"""By the prior from affinity, tasks that find the same examples hard start leaning to one weight.

Fully-adaptive feature sharing (FAFS; Lu et al., CVPR 2017, arXiv 1611.05377) asks how often two
tasks agree on which examples are hard,

    A_ij = P(hard for both) + P(hard for neither),

measured while everything is shared. The margin of a task on an example is 1 - exp(-loss), one minus
the probability of the label, and an example is hard if its margin is at least the running mean.
Equal tasks have A = 1. Independent ones agree by chance, h_i h_j + (1 - h_i) (1 - h_j) of the time,
where h is the share of examples that are hard: half of it if h is half, but 0.82 if h is 0.1. So
what counts here (own) is what of the way from chance to 1 an affinity goes, which is Cohen's kappa,
and tasks are put together that go at least a quarter of it. After 50 steps equal tasks, whose heads
differ, were at 0.3 to 0.8 in a small example, independent ones at 0.03 or less.

A is measured at the heads: it is one number for a pair of tasks and says nothing of single units.
FAFS itself tells units apart by the cost of splitting them only, which is ``price`` here. So all
units start alike.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from mtl_framework import MtlError, RowLossNetworks, TaskNetworks, all_reduce_mean
from mtl_framework.data import Batch, Suite

from .conflict import average_linkage, everything_shared

_MEMORY = 0.99  # the published code's
_LEAST = 0.25  # of the way from chance to full agreement


class Difficulty:
    """Running means over batches say how often any two tasks find the same examples hard.

    A new batch enters with weight 1, and the weights of earlier ones shrink by 0.99. Only examples
    that have labels of both tasks count for a pair.

    Args:
        tasks: number of tasks.
    """

    def __init__(self, tasks: int) -> None:
        self._sums = {
            "margin": torch.zeros(tasks, dtype=torch.float64),
            "agreed": torch.zeros(tasks, tasks, dtype=torch.float64),
            "hard": torch.zeros(tasks, tasks, dtype=torch.float64),
        }
        self._weights = {name: torch.zeros_like(total) for name, total in self._sums.items()}

    def add(self, losses: Float64[Tensor, "tasks examples"]) -> None:
        """Let a batch's losses enter; NaN where an example has no label of a task."""
        margins = 1 - (-losses).exp()
        labelled = ~margins.isnan()
        margins = margins.nan_to_num()
        self._enter("margin", margins.sum(1) / labelled.sum(1).clamp(min=1), labelled.any(1))
        hard = margins >= self._mean("margin")[:, None]
        both = labelled[:, None] & labelled[None]  # (tasks, tasks, examples)
        counts = both.sum(2).clamp(min=1)
        agreed = ((hard[:, None] == hard[None]) & both).sum(2) / counts
        self._enter("agreed", agreed.double(), both.any(2))
        self._enter("hard", (hard[:, None] & both).sum(2).double() / counts, both.any(2))

    def _enter(self, name: str, values: Tensor, has: Tensor) -> None:
        """Let a batch's values, averaged over the processes that have them, enter a mean."""
        values = all_reduce_mean(values, has.double())
        has = all_reduce_mean(has.double()) > 0
        total, weight = self._sums[name], self._weights[name]
        self._sums[name] = torch.where(has, _MEMORY * total + values, total)
        self._weights[name] = torch.where(has, _MEMORY * weight + 1, weight)

    def _mean(self, name: str) -> Tensor:
        return self._sums[name] / self._weights[name].clamp(min=1e-12)

    def affinity(self) -> Float64[Tensor, "tasks tasks"]:
        """Return A, as FAFS defines it, from 0 to 1; 0 for pairs without a common example."""
        return self._mean("agreed")

    def beyond_chance(self) -> Float64[Tensor, "tasks tasks"]:
        """Return what of the way from chance to 1 the affinities go, (A - c) / (1 - c).

        It is 1 for equal tasks and 0 for independent ones, for pairs without a common example, and
        where both tasks find all examples hard, or none. The diagonal is 1.
        """
        hard = self._mean("hard")  # [i, j]: of task i, on the examples that j has labels for, too
        chance = hard * hard.T + (1 - hard) * (1 - hard.T)
        known = (self._weights["agreed"] > 0) & (chance < 1)
        kappa = (self.affinity() - chance) / (1 - chance).clamp(min=1e-12)
        return torch.where(known, kappa, 0.0).fill_diagonal_(1)


def groups_by_affinity(
    network: TaskNetworks,
    next_batch: Callable[[], Batch],
    iterations: int,
    learning_rate: float,
    most: int,
) -> Int64[Tensor, "units tasks"]:
    """Group tasks, alike in all units, by what they find hard in a short run that shares all.

    The networks are as they were afterwards.

    Args:
        network: the networks of all tasks, which are :class:`~mtl_framework.RowLossNetworks`.
        next_batch: draws a batch of training examples, common to all tasks.
        iterations: number of steps of the short run.
        learning_rate: Adam's learning rate in it.
        most: largest number of groups.
    """
    assert isinstance(network, RowLossNetworks)
    difficulty = Difficulty(len(network.tasks))
    with everything_shared(network, learning_rate) as (optimizer, shared):
        for batch in _batches(next_batch, iterations):
            optimizer.zero_grad()
            network.accumulate_gradients(batch, shared)
            optimizer.step()
            difficulty.add(network.last_rows(batch).double().cpu())
    groups = average_linkage(difficulty.beyond_chance(), _LEAST, most)
    return groups.expand(len(network.weights_per_unit), -1).clone()


def check_common_input(suite: Suite) -> None:
    """Refuse a suite whose tasks are never asked about the same examples.

    Raises:
        MtlError: naming the suite.
    """
    if not suite.common_input:
        raise MtlError(
            f"prior 'affinity' compares tasks on the same examples, but those of suite "
            f"{suite.name!r} have inputs of their own: take 'conflict' or 'shared'"
        )


def _batches(next_batch: Callable[[], Batch], count: int) -> Iterator[Batch]:
    for _ in range(count):
        yield next_batch()
