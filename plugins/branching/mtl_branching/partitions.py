"""This module looks for the best groups of tasks, given how much each gains from every other."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

MOST_EXACT = 12  # groups of twins of which all partitions are compared; more have too many
ALIKE = 0.95  # least share of a task's own effect that the step for its twin has


def group_score(affinity: np.ndarray, group: Sequence[int]) -> float:
    """Return what the tasks of a group gain from each other, summed over the tasks.

    A task's gain is the mean of the affinities of the other tasks of the group to it; a task alone
    gains nothing.

    Args:
        affinity: (tasks, tasks), entry (i, j) says how much a step for task i helps task j.
        group: positions of the group's tasks.
    """
    if len(group) < 2:
        return 0.0
    own = affinity[np.ix_(group, group)]
    return float((own.sum() - np.trace(own)) / (len(group) - 1))


def score(affinity: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """Return the sum of :func:`group_score` over groups."""
    return sum(group_score(affinity, group) for group in groups)


def twins(affinity: np.ndarray) -> list[list[int]]:
    """Return groups of tasks that are nearly one task: a step for one is as good for the other.

    Two tasks are twins if a step for either lowers the other's loss by at least :data:`ALIKE` times
    what a step for that other task does. Twins of twins are in one group; a task without twins is a
    group of one.
    """
    own = np.diag(affinity)
    alike = (affinity >= ALIKE * own[None]) & (own > 0)[None]
    alike &= alike.T
    groups: list[list[int]] = []
    for task in range(len(affinity)):
        near = [group for group in groups if alike[task, group].any()]
        groups = [group for group in groups if group not in near]
        groups.append(sorted([task, *(other for group in near for other in group)]))
    return sorted(groups)


def best_partition(affinity: np.ndarray, most: int) -> list[list[int]]:
    """Return the partition of the tasks that has the highest :func:`score`.

    Tasks that are :func:`twins` stay together. Up to :data:`MOST_EXACT` groups of twins, the result
    is exact. More groups are merged pair by pair, and then moved one by one while that helps, which
    may miss the best partition. Of partitions with equal scores one with the fewest groups is
    returned.

    Args:
        affinity: (tasks, tasks), see :func:`group_score`.
        most: highest number of groups, at least one.

    Returns:
        positions of the tasks of every group; groups are ordered by their first task.
    """
    items = twins(affinity)
    if len(items) <= MOST_EXACT:
        return _exact(affinity, items, most)
    return _improved(affinity, _merged(affinity, items, most), items, most)


def _exact(affinity: np.ndarray, items: list[list[int]], most: int) -> list[list[int]]:
    """Return the best partition of items, by dynamic programming over subsets of them.

    A subset is a number whose bit n says whether it contains item n: 5 = 0b101 contains items 0 and
    2. The best score of a subset, with some number of groups left, is the highest sum of the score
    of a group that contains the subset's lowest item, and the best score of the rest.
    """
    count = len(items)
    groups = [
        sorted(task for n in range(count) if subset >> n & 1 for task in items[n])
        for subset in range(2**count)
    ]
    scores = [group_score(affinity, group) for group in groups]
    none: tuple[float, int] = (-np.inf, 0)
    best = [[none] * 2**count for _ in range(most + 1)]  # by number of groups left, by subset
    for left in range(most + 1):
        best[left][0] = (0.0, 0)
    for left in range(1, most + 1):
        for subset in range(1, 2**count):
            for own in _containing(subset, subset & -subset):
                value = scores[own] + best[left - 1][subset ^ own][0]
                if value > best[left][subset][0] + 1e-12:
                    best[left][subset] = (value, own)
    subset = 2**count - 1
    left = max(range(1, most + 1), key=lambda n: (round(best[n][subset][0], 12), -n))
    chosen = []
    while subset:
        own = best[left][subset][1]
        chosen.append(groups[own])
        subset, left = subset ^ own, left - 1
    return sorted(chosen)


def _containing(subset: int, lowest: int) -> Iterator[int]:
    """Yield all parts of a set of bits that contain its lowest bit, the whole set first.

    Of 0b1101 these are 0b1101, 0b1001, 0b0101 and 0b0001.
    """
    rest = subset ^ lowest
    part = rest
    while True:
        yield part | lowest
        if not part:
            return
        part = (part - 1) & rest


def _merged(affinity: np.ndarray, items: list[list[int]], most: int) -> list[list[int]]:
    """Merge the two groups that gain most, until there are few enough and none gain."""
    groups = [list(item) for item in items]
    while len(groups) > 1:
        gains = {
            (one, other): group_score(affinity, groups[one] + groups[other])
            - group_score(affinity, groups[one])
            - group_score(affinity, groups[other])
            for one, other in combinations(range(len(groups)), 2)
        }
        one, other = max(gains, key=lambda pair: gains[pair])
        if len(groups) <= most and gains[one, other] <= 0:
            break
        groups[one] = sorted(groups[one] + groups.pop(other))
    return groups


def _improved(
    affinity: np.ndarray, groups: list[list[int]], items: list[list[int]], most: int
) -> list[list[int]]:
    """Move items one by one to another group, or to a new one, as long as the score grows."""
    improving = True
    while improving:
        improving = False
        for item in items:
            home = next(group for group in groups if item[0] in group)
            rest = [task for task in home if task not in item]
            before = group_score(affinity, home) - group_score(affinity, rest)
            targets = [group for group in groups if group is not home]
            if len(groups) < most and rest:
                targets.append([])
            for target in targets:
                joined = sorted([*target, *item])
                gain = group_score(affinity, joined) - group_score(affinity, target) - before
                if gain > 1e-12:
                    groups = [g for g in groups if g is not home and g is not target]
                    groups += [group for group in (rest, joined) if group]
                    improving = True
                    break
    return sorted(groups)
