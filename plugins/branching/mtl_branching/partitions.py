"""The best way to part tasks into groups, given how much each gains from each."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

MOST_EXACT = 12  # groups of twins; all partitions of more are too many
ALIKE = 0.95


def group_score(affinity: np.ndarray, group: Sequence[int]) -> float:
    """What the tasks of a group gain from each other, summed over them.

    A task's gain is the mean of the affinities of the other tasks of the group to it; a task alone
    gains nothing.

    Args:
        affinity: (tasks, tasks), entry (i, j) is what a step of task i does for task j.
        group: positions of the tasks.
    """
    if len(group) < 2:
        return 0.0
    own = affinity[np.ix_(group, group)]
    return float((own.sum() - np.trace(own)) / (len(group) - 1))


def score(affinity: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """What all tasks gain, summed over groups."""
    return sum(group_score(affinity, group) for group in groups)


def twins(affinity: np.ndarray) -> list[list[int]]:
    """Groups of tasks each of which helps another about as much as that helps itself.

    Two tasks are twins if a step for either lowers the other's loss by at least :data:`ALIKE` of
    what the other's own step does; twins of twins are in one group.
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
    """The partition of the tasks into at most so many groups with the highest :func:`score`.

    :func:`twins` stay together. It is exact for up to :data:`MOST_EXACT` groups of twins; more are
    merged pair by pair, and then moved one by one while that helps. Groups are ordered by their
    first task; among equal scores fewer groups win.

    Args:
        affinity: (tasks, tasks), see :func:`group_score`.
        most: at least one.
    """
    items = twins(affinity)
    if len(items) <= MOST_EXACT:
        return _exact(affinity, items, most)
    return _improved(affinity, _merged(affinity, items, most), items, most)


def _exact(affinity: np.ndarray, items: list[list[int]], most: int) -> list[list[int]]:
    """Dynamic programming over subsets: the group of the lowest item, then the best of the rest."""
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
    """All parts of a set of bits that contain its lowest bit, the whole set first."""
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
    """Move single items to other groups, or out of all, as long as the score grows."""
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
