"""Assignments of several runs are compared: which tasks share, and how often."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from ..runs.records import Group, RunRecord

Weights = NDArray[np.int64]


@dataclass(frozen=True)
class Assignments:
    """One strategy's runs found this sharing: ``weights[s, u, t]`` for run s, unit u, task t."""

    strategy: str
    units: tuple[str, ...]
    tasks: tuple[str, ...]
    records: tuple[RunRecord, ...]
    weights: Weights

    @property
    def trivial(self) -> bool:
        """Return whether in every run all tasks share everything, or none share anything."""
        return all(len(set(row)) == 1 for run in self.weights for row in run.tolist()) or all(
            len(set(row)) == len(row) for run in self.weights for row in run.tolist()
        )


def assignments_of(group: Group, strategy: str) -> Assignments | None:
    """Collect the assignments of a strategy's runs; ``None`` if it shares no whole units."""
    records = [r for r in group.done(strategy) if r.result and r.result.assignment]
    found = [r.result.assignment for r in records if r.result and r.result.assignment]
    if not found:
        return None
    first = found[0]
    same = [n for n, a in enumerate(found) if (a.units, a.tasks) == (first.units, first.tasks)]
    weights = np.array([found[n].weights for n in same], dtype=np.int64)
    if weights.ndim != 3 or weights.size == 0:
        return None
    return Assignments(strategy, first.units, first.tasks, tuple(records[n] for n in same), weights)


def usage_shares(weights: Weights) -> NDArray[np.float64]:
    """Compute, at every unit, the share of tasks whose weight is used by exactly t tasks.

    One run, one unit, three tasks with the weights ``[0, 2, 0]``: their weights have 2, 1 and 2
    users, so that the row is ``[1/3, 2/3, 0]``.

    Args:
        weights: number of the used weight, of shape (runs, units, tasks).

    Returns:
        shares of shape (units, tasks): entry ``[u, t - 1]`` is the share at unit u over all runs;
        rows sum to one.
    """
    users = (weights[..., :, None] == weights[..., None, :]).sum(-1)  # (runs, units, tasks)
    tasks = weights.shape[-1]
    shares: NDArray[np.float64] = np.stack(
        [(users == t).mean((0, 2)) for t in range(1, tasks + 1)], axis=1
    )
    return shares


def pair_frequencies(weights: Weights) -> NDArray[np.float64]:
    """Compute how often each pair of tasks shares, over runs and units: (tasks, tasks).

    In one run with the units ``[0, 2, 0]`` and ``[1, 1, 0]`` the first task shares with the second
    in one unit of two, and so with the third: its row is ``[1, 1/2, 1/2]``.
    """
    same = weights[..., :, None] == weights[..., None, :]
    frequencies: NDArray[np.float64] = same.mean((0, 1))
    return frequencies


def cluster(frequencies: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Cluster tasks hierarchically (average linkage); ``None`` if there are fewer than two.

    The distance of two tasks is one minus how often they share.
    """
    if len(frequencies) < 2:
        return None
    distances = squareform(1 - frequencies, checks=False)
    found: NDArray[np.float64] = hierarchy.linkage(distances, "average", optimal_ordering=True)
    return found


def clustered_order(frequencies: NDArray[np.float64]) -> list[int]:
    """Order tasks so that those stand together which often share.

    Position n of the order has the task ``order[n]``: ``[0, 2, 1]`` for three tasks of which the
    first and the third share most. ``frequencies[order][:, order]`` is the matrix in that order.
    """
    found = cluster(frequencies)
    return [0] if found is None else [int(n) for n in hierarchy.leaves_list(found)]
