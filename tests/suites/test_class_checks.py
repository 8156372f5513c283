"""Classes that a split lacks."""

import numpy as np
import pytest
from mtl_suites.class_checks import check_classes, too_rare

from mtl_framework import MtlError


def test_a_class_that_is_not_everywhere_is_named() -> None:
    with pytest.raises(MtlError, match="c not in train; b not in test"):
        check_classes({"train": np.array(["a", "b"]), "test": np.array(["a", "c"])})
    check_classes(
        {"train": np.array([1, 2]), "test": np.array([2, 1]), "validation": np.array([1])}
    )


def test_classes_that_are_too_rare_are_the_cause_with_the_remedy() -> None:
    places = [f"t.csv:{n + 2}" for n in range(12)]
    members = {"train": np.arange(6), "validation": np.arange(6, 8), "test": np.arange(8, 12)}
    known = np.arange(12) != 3
    values = np.array([f"{n},5" for n in range(12)])
    lost, text = too_rare("price", values, known, members, places)
    assert (lost == known).all()
    for part in (
        "11 of 11 classes have a single row", "6 not in train, 7 not in test", "t.csv:2)",
        "suite.tasks", "suite.kinds.price=numbers",
    ):  # fmt: skip
        assert part in text
    values = np.array(["a", "b"] * 5 + ["rare", "a"])
    lost, text = too_rare("kind", values, known, members, places)
    assert np.flatnonzero(lost).tolist() == [10]
    assert "1 of 3 classes has a single row" in text
    assert text.endswith("rare (the first is t.csv:12): give it more rows")
    lost, text = too_rare("kind", np.array(["a", "b"] * 6), known, members, places)
    assert not text
    assert not lost.any()
