"""Splits for many tasks at once: rare classes everywhere, shares kept, sizes exact."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, example, given, settings

from mtl_framework.data import SplitSizes, class_codes, make_splits
from mtl_framework.data.stratify import divisible, draw


def strata_of(seed: int, rows: int, tasks: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        np.where(random.random(rows) < 0.1, -1, random.geometric(0.4, rows) - 1)
        for _ in range(tasks)
    ]


def can_be_parted(strata: list[np.ndarray]) -> bool:
    """Whether classes of two rows can all be parted: {1, 2}, {2, 3} and {1, 3} together cannot."""
    members = [np.flatnonzero(column == label) for column in strata for label in set(column) - {-1}]
    pairs = [(int(rows[0]), int(rows[1])) for rows in members if len(rows) == 2]
    sides: dict[int, bool] = {}
    for start, _ in pairs:
        todo = [] if start in sides else [(start, True)]
        while todo:
            row, side = todo.pop()
            if sides.setdefault(row, side) != side:
                return False
            others = [b if row == a else a for a, b in pairs if row in (a, b)]
            todo += [(other, not side) for other in others if sides.get(other) != (not side)]
    return True


def test_three_classes_that_cannot_be_parted_are_told() -> None:
    two, chain = np.array([1, 1, 0, 0]), np.array([0, 1, 1, 0])
    assert can_be_parted([two, chain])
    assert not can_be_parted(
        [np.array([1, 1, 2, 3]), np.array([2, 1, 1, 3]), np.array([1, 2, 1, 3])]
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(4, 80),
    tasks=st.integers(1, 4),
    share=st.floats(0.1, 0.9),
)
def test_exactly_so_many_rows_are_drawn_always_the_same(
    seed: int, rows: int, tasks: int, share: float
) -> None:
    strata = strata_of(seed, rows, tasks)
    count = max(1, min(rows - 1, round(share * rows)))
    drawn = draw(strata, count, seed)
    assert drawn.sum() == count
    assert (draw(strata, count, seed) == drawn).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_class_with_three_examples_is_in_three_splits(seed: int) -> None:
    easy = np.arange(40) % 2
    rare = np.array([0] * 30 + [1] * 7 + [2] * 3)
    pair = np.where(np.arange(40) == 11, -1, np.arange(40) // 38)
    sizes = SplitSizes(validation=0.2, seed=seed)
    for strata in ([easy, rare, pair], [rare]):
        found = make_splits({None: np.arange(40)}, strata, sizes)
        assert {name: len(rows) for name, rows in found.items()} == {
            "train": 24, "validation": 8, "test": 8,
        }  # fmt: skip
        for rows in found.values():
            assert set(rare[rows]) == {0, 1, 2}
    # one that has two is in training and in test
    found = make_splits({None: np.arange(40)}, [easy, rare, pair], sizes)
    assert 1 in pair[found["train"]]
    assert 1 in pair[found["test"]]


@example(seed=412, rows=41, rare=[[2], [2], [2, 2]], gaps=False)  # a chain of pairs
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    rows=st.integers(40, 90),
    rare=st.lists(st.lists(st.integers(2, 6), min_size=1, max_size=2), min_size=1, max_size=3),
    gaps=st.booleans(),
)
def test_rare_classes_of_all_tasks_can_be_learned_and_measured(
    seed: int, rows: int, rare: list[list[int]], gaps: bool
) -> None:
    """A class with two examples or more is in training and in test, whatever other tasks have."""
    random = np.random.default_rng(seed)
    strata = []
    for sizes in rare:
        column = random.integers(0, 2, rows)
        places = random.permutation(rows)
        for number, size in enumerate(sizes):
            column[places[:size]], places = 2 + number, places[size:]
        if gaps:
            column[places[:3]] = -1
        strata.append(column)
    assume(can_be_parted(strata))
    found = make_splits({None: np.arange(rows)}, strata, SplitSizes(seed=seed).with_validation())
    assert sorted(np.concatenate(list(found.values()))) == list(range(rows))
    for column in strata:
        for label in set(column.tolist()) - {-1}:
            assert label in column[found["train"]]
            assert label in column[found["test"]]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("order", ["as rows are", "shuffled"])
def test_texts_and_owners_leave_the_other_tasks_their_splits(size: int, order: str) -> None:
    """A task of classes with a single row or two changes nothing for tasks that are healthy."""
    rows = 90
    colour, other = np.arange(rows) % 3, np.where(np.arange(rows) % 7 == 0, -1, np.arange(rows) % 4)
    fine = np.arange(rows) // size
    if order == "shuffled":
        fine = np.random.default_rng(0).permutation(fine)
    sizes = SplitSizes().with_validation()
    alone = make_splits({None: np.arange(rows)}, [colour, other], sizes)
    assert [len(found) for found in alone.values()] == [54, 18, 18]
    for strata in ([colour, fine, other], [fine, colour, fine, other]):
        found = make_splits({None: np.arange(rows)}, strata, sizes)
        assert all((found[split] == alone[split]).all() for split in alone)
    numbers = make_splits({None: np.arange(rows)}, [fine], sizes, others=True)
    assert [len(found) for found in numbers.values()] == [54, 18, 18]
    # on its own such a task is divided so that its pairs can be learned and measured
    lone = make_splits({None: np.arange(rows)}, [fine], sizes)
    assert size == 1 or len(np.intersect1d(fine[lone["train"]], fine[lone["test"]])) == 45


def test_a_few_rare_classes_are_served_as_ever() -> None:
    rows = np.arange(100)
    single, pairs = np.maximum(rows - 60, 0), np.maximum(rows // 2 - 39, 0)  # 39 rows; 10 pairs
    kept = divisible([single, pairs], rows, train=60, drawn=20)
    assert len(kept) == 2
    assert [len(divisible([single, pairs], rows, *room)) for room in ((38, 20), (60, 9))] == [1, 1]
    assert divisible([single, pairs], rows, 10, 5, alone=False) == []
    assert len(divisible([single, pairs], rows, 10, 5)) == 2  # nobody to protect
    found = make_splits({None: rows}, [rows % 2, pairs], SplitSizes().with_validation())
    for split in ("train", "test"):
        assert set(pairs[found[split]]) == set(pairs)


def test_shares_of_every_task_are_kept() -> None:
    random = np.random.default_rng(3)
    strata = [(random.random(500) < share).astype(np.int64) for share in (0.5, 0.2, 0.04)]
    found = make_splits({None: np.arange(500)}, strata, SplitSizes(300, 100, 100))
    for column in strata:
        for rows in found.values():
            assert column[rows].mean() == pytest.approx(column.mean(), abs=0.011)


def test_the_test_split_does_not_depend_on_the_others() -> None:
    strata = strata_of(1, 200, 3)
    first, second = (
        make_splits({None: np.arange(200)}, strata, SplitSizes(train, 20, 50))["test"]
        for train in (100, 130)
    )
    assert np.array_equal(first, second)


def test_numbers_of_classes_follow_their_values() -> None:
    values = np.array(["b", "a", "?", "c", "a"])
    assert class_codes(values, values != "?").tolist() == [1, 0, -1, 2, 0]
    assert class_codes(values[:2]).tolist() == [1, 0]
