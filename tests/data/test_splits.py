"""Splits: complete, disjoint, stratified, the same everywhere."""

import hashlib

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from mtl_framework.data import SplitSizes, make_splits, split_name
from mtl_framework.support.errors import MtlError

AMOUNT = st.one_of(st.none(), st.integers(1, 60), st.floats(0.05, 0.9))


def digest(splits: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(rows.tobytes() for rows in splits.values())).hexdigest()


@settings(max_examples=150, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=3, max_size=120),
    train=AMOUNT,
    validation=AMOUNT,
    test=AMOUNT,
    seed=st.integers(0, 2**32 - 1),
    named=st.booleans(),
)
def test_no_row_is_in_two_splits_and_sizes_are_kept(
    labels: list[int],
    train: float | None,
    validation: float | None,
    test: float | None,
    seed: int,
    named: bool,
) -> None:
    values = np.array(labels)
    rows = np.arange(len(values)) * 3 + 1  # any numbers, not positions
    everything = np.zeros(rows[-1] + 1, int)
    everything[rows] = values
    half = len(rows) // 2
    pools = {"train": rows[:half], "test": rows[half:]} if named else {None: rows}
    sizes = SplitSizes(train, validation, test, seed)
    try:
        found = make_splits(pools, everything, sizes)  # type: ignore[arg-type]
    except MtlError:
        return
    together = np.concatenate(list(found.values()))
    assert len(set(together)) == len(together)
    assert set(together) <= set(rows)
    for split, chosen in found.items():
        assert (np.diff(chosen) > 0).all()
        wanted = getattr(sizes, split)
        if isinstance(wanted, int):
            assert len(chosen) == wanted
    if named:
        assert set(found["test"]) <= set(rows[half:])
        assert set(found["train"]) <= set(rows[:half])
    again = make_splits(pools, everything, sizes)  # type: ignore[arg-type]
    assert digest(again) == digest(found)


def test_splits_are_the_same_on_every_machine() -> None:
    labels = np.arange(1000) ** 2 % 7 % 4
    np.random.seed(3)
    first = make_splits({None: np.arange(1000)}, labels, SplitSizes(0.5, 0.2, 0.3, 5))
    assert digest(first).startswith("cd56bc1c8044192f")
    other = make_splits({None: np.arange(1000)}, labels, SplitSizes(0.5, 0.2, 0.3, 6))
    assert digest(other) != digest(first)


def test_classes_keep_their_shares() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    found = make_splits({None: np.arange(1000)}, labels, SplitSizes(100, 50, 200))
    for split, size in {"train": 100, "validation": 50, "test": 200}.items():
        assert np.bincount(labels[found[split]]).tolist() == [
            size * 6 // 10, size * 3 // 10, size // 10,
        ]  # fmt: skip


def test_test_rows_do_not_depend_on_the_other_sizes() -> None:
    labels = np.arange(500) % 10
    found = [
        make_splits({None: np.arange(500)}, labels, SplitSizes(train, validation, 100))["test"]
        for train, validation in ((100, None), (300, 50), (None, 0.3))
    ]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_shares_that_make_one_use_every_row() -> None:
    for rows in range(20, 60):
        labels = np.arange(rows) % 2
        found = make_splits({None: np.arange(rows)}, labels, SplitSizes(0.5, 0.2, 0.3))
        assert sum(map(len, found.values())) == rows


def test_splits_have_several_names() -> None:
    held_out = ("Hold-out", "hold out", "HOLDOUT", "held_out_set", "Test-Data")
    assert {split_name(name) for name in held_out} == {"test"}
    assert [split_name(name) for name in ("Val", " training", "dev", "test")] == [
        "validation", "train", "validation", "test",
    ]  # fmt: skip
