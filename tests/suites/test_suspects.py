"""Usual codes of a missing value, and labels that are all the same, are told before training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mtl_suites.arrays import arrays
from mtl_suites.suspects import code_hints, constant_hints
from mtl_suites.table import table
from PIL import Image


@pytest.mark.parametrize(
    ("kind", "values", "hint"),
    [
        ("classes", ["-1", "0", "1"] * 3, "'q': -1 is taken as a class; suite.missing.q=-1"),
        ("classes", [-9, -8, 0, 1, 2], "-9, -8 are taken as classes; suite.missing.q=-9,-8"),
        ("classes", [0, 1, 2, 9], "9 is taken as a class; suite.missing.q=9"),
        ("classes", ["1", "2", "99"], "99 is taken as a class"),
        ("classes", np.array([0, 1, 255], np.uint8), "255 is taken as a class"),
        ("classes", [0, 1, 2, -3], "-3 is taken as a class"),
        ("numbers", [1.5, 2.5, 8.0, -999.0], r"-999 (1 time) is taken as a number; suite.missing"),
        ("numbers", [20, 35, 35, 60, 99, 99, 99, 99], "99 (4 times) is taken as a number"),
        ("numbers", [-1.0, 99.0, 99.0, 99.0, 3.0], "-1 (1 time), 99 (3 times) are taken"),
    ],
)  # fmt: skip
def test_codes_are_told(kind: Any, values: Sequence[Any], hint: str) -> None:
    (line,) = code_hints("q", kind, np.array(values))
    assert hint in line


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("classes", list(range(10))),
        ("classes", ["a", "-1"]),
        ("classes", [8, 9]),
        ("numbers", [-1.0, -0.5, 3.0]),
        ("numbers", [1.0, 2.0, 99.0]),
        ("numbers", [97.0, 98.0, 99.0, 100.0]),
        ("numbers", [-9.0, -9.0]),
        ("binary", [0, 1]),
    ],
)
def test_numbers_that_may_be_meant_are_not(kind: Any, values: Sequence[Any]) -> None:
    assert code_hints("q", kind, np.array(values)) == []


@given(st.lists(st.integers(0, 8), min_size=4), st.sampled_from([-1, -9, -99, -999, 99, 999, 9999]))
def test_a_code_among_small_classes_is_always_told(values: list[int], code: int) -> None:
    (line,) = code_hints("q", "classes", np.array([*values, code]))
    assert f"suite.missing.q={code} takes it as no label" in line
    (row,) = code_hints("q", "classes", np.array([*values, code]).astype(str))
    assert row == line


@pytest.mark.parametrize(
    ("kind", "train", "test", "hint"),
    [
        ("binary", [1, 1, 1], [1, 1], "q: all labels are 1: there is nothing to learn"),
        ("binary", [0, 0, 0], [0, 1], "q: all 3 labels of training are 0, and others are not"),
        ("binary", [0, 1, 0], [1, 1], "q: all 2 labels of test are 1: of the other value nothing"),
        ("numbers", [2.5, 2.5], [3.5, 4.5], "q: all 2 labels of training are 2.5"),
        ("numbers", [2.5, 3.5], [3.5, 3.5], ""),
        ("classes", [0, 0], [0, 0], ""),
    ],
)
def test_constants_are_told(kind: Any, train: list[Any], test: list[Any], hint: str) -> None:
    values = np.array([*train, *test])
    members = {"train": np.arange(len(train)), "test": np.arange(len(train), len(values))}
    lines = constant_hints("q", kind, values, np.ones(len(values), bool), members)
    assert hint in "".join(lines)
    assert bool(hint) == bool(lines)


def test_suites_tell_them(tmp_path: Path) -> None:
    rows = ["image,split,sick,weight,grade"]
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 6), np.uint8)
    for n, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
        weight = 2.5 if n < 12 else n / 8
        rows.append(f"{n}.png,{'train' if n < 12 else 'test'},0,{weight},{n % 4 - 1}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    said = " ".join(table(path="t.csv", data_root=str(tmp_path), validation_per_task=0).notes)
    assert "sick: all labels are 0: there is nothing to learn" in said
    assert "weight: all 12 labels of training are 2.5" in said
    assert "'grade': -1 is taken as a class; suite.missing.grade=-1" in said
    numbers = np.arange(20)
    labels = {"images": images, "sick": np.zeros(20, bool), "grade": numbers % 4 - 1,
              "weight": np.where(numbers < 12, 2.5, numbers / 8)}  # fmt: skip
    parts: dict[str, Any] = {
        f"{split}_{name}": values[part]
        for split, part in (("train", slice(12)), ("test", slice(12, 20)))
        for name, values in labels.items()
    }
    np.savez(tmp_path / "f.npz", **parts)
    suite = arrays(path="f.npz", data_root=str(tmp_path), tasks=["sick", "grade", "weight"],
                   kinds={"sick": "binary"})  # fmt: skip
    again = " ".join(suite.notes)
    assert "sick: all labels are 0: there is nothing to learn" in again
    assert "weight: all 12 labels of training are 2.5" in again
    assert "'grade': -1 is taken as a class; suite.missing.grade=-1" in again
