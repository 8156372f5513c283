"""Fully-adaptive sharing asks for which tasks the same examples are hard, and groups the tasks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from mtl_framework import MtlError, all_reduce_mean

MOST_EXACT = 7  # branches of which all partitions are compared; more branches have too many
REPEATS = 5  # clusterings, each from another seed, for every number of groups


class Difficulty:
    """This class keeps running affinities of tasks: how often they agree on what is hard.

    The affinity of tasks i and j is A_ij = P(hard for both) + P(hard for neither), estimated from
    the training examples that have labels of both. The margin of a task on an example is
    1 - exp(-loss), which for a classification is one minus the probability of the label. An example
    is hard for a task if its margin is at least the running mean of the task's margins. In running
    means a new batch has weight 1, and the weights of earlier batches are multiplied by ``memory``.

    Source: Lu et al., CVPR 2017, arXiv 1611.05377; the weights of batches are those of the
    published code.

    Args:
        tasks: number of tasks.
        memory: factor from 0 to 1 by which the weight of a batch shrinks with every further one.
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
        """Let the losses of a batch enter the running means.

        Of several processes each one passes its own examples, and all get the means over all.

        Args:
            losses: loss of every task on every example; NaN where an example has no label.
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
        """Let new values enter a running sum with weight 1; NaN leaves its entry as it is."""
        has = ~new.isnan()
        for name, value in ((total, new.nan_to_num()), (weight, has.double())):
            old = self._state[name]
            self._state[name] = torch.where(has, self.memory * old + value, old)

    def affinity(self) -> np.ndarray:
        """Return the affinities (tasks, tasks), from 0 to 1, with ones on the diagonal.

        Two tasks that have had no labelled example in common have affinity 0.5.
        """
        agreed, compared = self._state["agreed"], self._state["compared"]
        mean = torch.where(compared > 0, agreed / compared.clamp(min=1e-12), 0.5)
        mean.fill_diagonal_(1)
        values: np.ndarray = mean.numpy()
        return values

    def state_dict(self) -> dict[str, Any]:
        """Return the running sums and the sums of their weights."""
        return {name: value.clone() for name, value in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` has returned.

        Raises:
            MtlError: if the state was saved with another number of tasks.
        """
        for name, value in self._state.items():
            if state[name].shape != value.shape:
                raise MtlError(
                    f"saved affinities are of {len(state['mean'])} tasks, these of "
                    f"{len(self._state['mean'])}"
                )
        self._state = {name: state[name].clone() for name in self._state}


def _over_processes(values: Tensor, has: Tensor) -> Float64[Tensor, "..."]:
    """Return means over the processes that have a value, on the CPU; NaN where none has one."""
    weights = has.to(values)
    mean = all_reduce_mean(values, weights)
    known = all_reduce_mean(weights, torch.ones_like(weights)) > 0
    return torch.where(known, mean, torch.nan).double().cpu()


def branch_affinity(affinity: np.ndarray, branches: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the affinities of branches, each of which is a group of tasks.

    The affinity of branches k and l is (a_kl + a_lk) / 2, where a_kl takes for every task of k its
    lowest affinity to a task of l, and averages these over the tasks of k.

    Args:
        affinity: affinities of the tasks (tasks, tasks).
        branches: positions of the tasks of every branch.

    Returns:
        (branches, branches): symmetric; on the diagonal a branch's affinity to itself.
    """
    one = np.array([[affinity[np.ix_(k, m)].min(1).mean() for m in branches] for k in branches])
    mean: np.ndarray = (one + one.T) / 2
    return mean


def separation(affinity: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """Return how little the branches of a group agree, averaged over groups.

    The separation of one group is one minus the mean, over its branches, of a branch's lowest
    affinity to a branch of the group.
    """
    parts = [1 - affinity[np.ix_(group, group)].min(1).mean() for group in groups]
    return float(np.mean(parts))


def best_split(
    affinity: np.ndarray, cost: float, alpha: float, most: int, seed: int = 0
) -> list[list[int]]:
    """Return the groups of branches that minimise (number - 1) * cost + alpha * separation.

    Up to :data:`MOST_EXACT` branches, all partitions are compared. For more branches spectral
    clustering proposes :data:`REPEATS` partitions for every number of groups, as in the published
    code. Of partitions with equal values one with the fewest groups is returned.

    Args:
        affinity: affinities of the branches, see :func:`branch_affinity`.
        cost: cost of every group after the first.
        alpha: weight of the separation; with 0 all branches stay in one group.
        most: highest number of groups.
        seed: seed of the clusterings.

    Returns:
        for every group the positions of its branches.
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
    """Yield all partitions of the numbers below ``count``.

    Each partition of the smaller numbers gives several: the last number joins one of its groups, or
    is alone. From [[0, 1]] come [[0, 1, 2]] and [[0, 1], [2]].
    """
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
