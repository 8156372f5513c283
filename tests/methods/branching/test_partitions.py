"""The best partition against all of them, and what it never does."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mtl_branching.partitions import (
    _improved,
    _merged,
    best_partition,
    group_score,
    score,
    twins,
)


def partitions(tasks: list[int]) -> Iterator[list[list[int]]]:
    """All partitions, by putting the first task into every group of every one of the others."""
    if not tasks:
        yield []
        return
    first, rest = tasks[0], tasks[1:]
    for groups in partitions(rest):
        yield [[first], *groups]
        for number, group in enumerate(groups):
            yield [*groups[:number], [first, *group], *groups[number + 1 :]]


@given(tasks=st.integers(1, 6), most=st.integers(1, 6), seed=st.integers(0, 999))
def test_no_partition_scores_higher(tasks: int, most: int, seed: int) -> None:
    affinity = np.random.default_rng(seed).normal(0.2, 1, (tasks, tasks)) + np.eye(tasks)
    best = best_partition(affinity, most)
    assert sorted(t for group in best for t in group) == list(range(tasks))
    assert len(best) <= most
    assert best == sorted(best)
    together = twins(affinity)
    every = [
        p
        for p in partitions(list(range(tasks)))
        if len(p) <= most and all(any({*own} <= {*group} for group in p) for own in together)
    ]
    assert score(affinity, best) == pytest.approx(max(score(affinity, p) for p in every))


@pytest.mark.long
@settings(max_examples=20)
@given(tasks=st.integers(13, 16), most=st.integers(1, 5), seed=st.integers(0, 99))
def test_many_tasks_are_parted_by_merging_and_moving(tasks: int, most: int, seed: int) -> None:
    affinity = np.random.default_rng(seed).normal(0, 1, (tasks, tasks)) + 2 * np.eye(tasks)
    items = twins(affinity)
    groups = best_partition(affinity, most)
    assert sorted(t for group in groups for t in group) == list(range(tasks))
    assert len(groups) <= most
    assert score(affinity, groups) >= score(affinity, _merged(affinity, items, most)) - 1e-9
    assert _improved(affinity, groups, items, most) == groups


def test_many_tasks_in_clear_groups_are_told_apart() -> None:
    group = np.arange(15) % 3
    affinity = np.where(group[:, None] == group, 1.0, -1.0)
    assert best_partition(affinity, 3) == [list(range(n, 15, 3)) for n in range(3)]


@given(tasks=st.integers(2, 5), most=st.integers(1, 4), seed=st.integers(0, 999))
def test_duplicated_tasks_never_part(tasks: int, most: int, seed: int) -> None:
    """The last task is there twice: a step for it helps itself, and so its twin, most of all."""
    affinity = np.random.default_rng(seed).uniform(-1, 1, (tasks, tasks))
    np.fill_diagonal(affinity, affinity.max(0).clip(min=0) + 0.1)
    twice = [*range(tasks), tasks - 1]
    groups = best_partition(affinity[np.ix_(twice, twice)], most)
    assert any({tasks - 1, tasks} <= set(group) for group in groups)


def test_a_task_alone_gains_nothing_and_others_the_mean_of_what_they_are_given() -> None:
    affinity = np.array([[9.0, 1.0, 2.0], [3.0, 9.0, 4.0], [5.0, 6.0, 9.0]])
    assert group_score(affinity, [1]) == 0
    assert group_score(affinity, [0, 1, 2]) == (3 + 5) / 2 + (1 + 6) / 2 + (2 + 4) / 2
