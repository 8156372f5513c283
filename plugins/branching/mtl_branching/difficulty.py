"""Which examples are hard for a task, and for which other tasks the same ones are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from mtl_framework import MtlError, all_reduce_mean

MOST_EXACT = 7  # branches; all partitions of more are too many
REPEATS = 5  # of a clustering, of which the best counts


class Difficulty:
    """Running affinities A_ij = P(hard for both) + P(hard for neither), over training examples.

    The margin of a task on an example is 1 - exp(-loss), which for a classification is one minus
    the probability of the label. An example is hard for a task if its margin is at least the
    running mean of the task's margins. A new batch enters with weight 1, and what was there is
    multiplied by ``memory``.

    Source: Lu et al., CVPR 2017, arXiv 1611.05377; the weights are those of the published code.

    Args:
        tasks: T.
        memory: from 0 to 1.
    """

    def __init__(self, tasks: int, memory: float) -> None:
        self.memory = memory
        self._state = {
            "mean": torch.zeros(tasks, dtype=torch.float64),
            "seen": torch.zeros(tasks, dtype=torch.float64),
            "agreed": torch.zeros(tasks, tasks, dtype=torch.float64),
            "compared": torch.zeros(tasks, tasks, dtype=torch.float64),
        }

    def add(self, losses: Float[Tensor, "tasks examples"]) -> None:
        """Take note of the losses of all tasks on the examples of a batch, NaN without a label.

        Every process adds its own examples, and holds the means over all.
        """
        margins = 1 - (-losses.double()).exp()
        labelled = ~margins.isnan()
        counts = labelled.sum(1).double()
        margins = margins.nan_to_num()
        mean = _over_processes(margins.sum(1) / counts.clamp(min=1), counts > 0)
        self._move("mean", "seen", mean)
        known = (self._state["mean"] / self._state["seen"].clamp(min=1e-12)).to(margins)
        hard = margins >= known[:, None]
        both = labelled[:, None] & labelled[None]  # (tasks, tasks, examples)
        agree = ((hard[:, None] == hard[None]) & both).sum(2) / both.sum(2).clamp(min=1)
        self._move("agreed", "compared", _over_processes(agree.double(), both.any(2)))

    def _move(self, total: str, weight: str, new: Tensor) -> None:
        """Let new values enter with weight 1 where there are some; NaN leaves all as it is."""
        has = ~new.isnan()
        for name, value in ((total, new.nan_to_num()), (weight, has.double())):
            old = self._state[name]
            self._state[name] = torch.where(has, self.memory * old + value, old)

    def affinity(self) -> np.ndarray:
        """Affinities (tasks, tasks); 0.5, as of independent tasks, where nothing is known."""
        agreed, compared = self._state["agreed"], self._state["compared"]
        mean = torch.where(compared > 0, agreed / compared.clamp(min=1e-12), 0.5)
        mean.fill_diagonal_(1)
        values: np.ndarray = mean.numpy()
        return values

    def state_dict(self) -> dict[str, Any]:
        """Give the running sums."""
        return {name: value.clone() for name, value in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            MtlError: if it is that of another number of tasks.
        """
        for name, value in self._state.items():
            if state[name].shape != value.shape:
                raise MtlError(
                    f"saved affinities are of {len(state['mean'])} tasks, these of "
                    f"{len(self._state['mean'])}"
                )
        self._state = {name: state[name].clone() for name in self._state}


def _over_processes(values: Tensor, has: Tensor) -> Float64[Tensor, "..."]:
    """Means over the processes that have a value, on the CPU; NaN where none has."""
    weights = has.to(values)
    mean = all_reduce_mean(values, weights)
    known = all_reduce_mean(weights, torch.ones_like(weights)) > 0
    return torch.where(known, mean, torch.nan).double().cpu()


def branch_affinity(affinity: np.ndarray, branches: Sequence[Sequence[int]]) -> np.ndarray:
    """Affinities of branches: (a_kl + a_lk) / 2, a_kl the mean over k of the least affinity to l.

    Args:
        affinity: of the tasks.
        branches: tasks of every branch.
    """
    one = np.array([[affinity[np.ix_(k, m)].min(1).mean() for m in branches] for k in branches])
    mean: np.ndarray = (one + one.T) / 2
    return mean


def separation(affinity: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """Mean over groups of branches of one minus the mean of each one's least affinity."""
    parts = [1 - affinity[np.ix_(group, group)].min(1).mean() for group in groups]
    return float(np.mean(parts))


def best_split(
    affinity: np.ndarray, cost: float, alpha: float, most: int, seed: int = 0
) -> list[list[int]]:
    """Groups of branches that minimise (number - 1) cost + alpha separation.

    All partitions of up to :data:`MOST_EXACT` branches are compared. Of more branches spectral
    clustering proposes one for every number of groups, the best of :data:`REPEATS`, as in the
    published code. Fewer groups win where costs are equal.

    Args:
        affinity: of the branches, see :func:`branch_affinity`.
        cost: of one more group.
        alpha: weight of the separation; 0 never splits.
        most: groups.
        seed: of the clustering.
    """
    count = len(affinity)
    proposals = list(_partitions(count)) if count <= MOST_EXACT else _clusterings(affinity, seed)
    best, least = [list(range(count))], np.inf
    for groups in sorted(proposals, key=len):
        if len(groups) <= most:
            value = (len(groups) - 1) * cost + alpha * separation(affinity, groups)
            if value < least - 1e-12:
                best, least = groups, value
    return best


def _partitions(count: int) -> Iterator[list[list[int]]]:
    """All partitions: the last number joins each group of those of the others, or is alone."""
    if not count:
        yield []
        return
    for groups in _partitions(count - 1):
        for number in range(len(groups)):
            yield [[*g, count - 1] if n == number else g for n, g in enumerate(groups)]
        yield [*groups, [count - 1]]


def _clusterings(affinity: np.ndarray, seed: int) -> list[list[list[int]]]:
    from sklearn.cluster import SpectralClustering  # slow to import, and rarely needed

    count = len(affinity)
    proposals = [[list(range(count))], [[branch] for branch in range(count)]]
    for number in range(2, count):
        for repeat in range(REPEATS):
            clustering = SpectralClustering(
                number, affinity="precomputed", random_state=(seed + repeat) % 2**32
            )
            labels = clustering.fit_predict(affinity)
            groups = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
            proposals.append(sorted(groups))
    return proposals
