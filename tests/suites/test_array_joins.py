"""Splits of one task whose arrays have several dtypes, ranges or orders of bytes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtl_suites.array_joins import joined_inputs
from mtl_suites.arrays import arrays
from mtl_suites.npz import Found
from mtl_suites.table import table
from support.arrays import save
from support.typed import stored

from mtl_framework.data.tasks import Suite
from mtl_framework.support.errors import MtlError

BYTES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
BYTES[::4, 0, 0] = [0, 128, 255]
FIRST, LAST = BYTES[:12], BYTES[12:]
LABELS = np.arange(20) % 2


def halves(folder: Path, train: np.ndarray, test: np.ndarray, name: str = "images") -> Any:
    splits = {f"train_{name}": train, f"test_{name}": test}
    return save(folder, **splits, train_labels=LABELS[:12], test_labels=LABELS[12:])


def inputs(suite: Suite) -> list[np.ndarray]:
    """Of training and test, with the channels last where they are images."""
    task = suite.tasks[0]
    found = [stored(examples).numpy() for examples in (task.train, task.test)]
    return [array.transpose(0, 2, 3, 1) if array.ndim == 4 else array for array in found]


@pytest.mark.parametrize("swapped", [False, True])
def test_images_of_8_and_16_bits_and_bool_are_each_scaled_by_their_own_range(
    tmp_path: Path, swapped: bool
) -> None:
    deep = (LAST.astype(np.uint16) * 257).astype(">u2" if swapped else "<u2")
    for test, expected in ((deep, LAST), (LAST > 127, np.where(LAST > 127, 255, 0))):
        suite = arrays(**halves(tmp_path, FIRST, test))
        train, found = inputs(suite)
        assert train.dtype == found.dtype == np.uint8
        assert np.array_equal(train, FIRST)
        assert np.array_equal(found, expected)
        told = "train_images (uint8, 0 to 255), test_images (" + str(test.dtype.newbyteorder("="))
        assert any(told in note and "range of its dtype" in note for note in suite.notes)
    assert not any("dtype" in note for note in arrays(**halves(tmp_path, FIRST, LAST)).notes)
    groups = save(
        tmp_path, train_images=FIRST, test_images=deep, train_labels=LABELS[:12],
        test_labels=LABELS[12:], train_group=[0, 1] * 6, test_group=[0, 1] * 4,
        train_kind=LABELS[:12], test_kind=LABELS[12:],
    )  # fmt: skip
    suite = arrays(**groups, group_by="group", labels="kind", skip_bad=True, kind="numbers")
    assert np.array_equal(inputs(suite)[1], LAST[::2])
    several = arrays(**groups, tasks=["labels", "kind"])
    assert several.common_input
    assert np.array_equal(inputs(several)[1], LAST)
    axis = save(
        tmp_path,
        train_images=np.stack([FIRST, FIRST]),
        test_images=np.stack([deep, deep]),
        train_labels=np.stack([LABELS[:12]] * 2),
        test_labels=np.stack([LABELS[12:]] * 2),
    )
    assert np.array_equal(inputs(arrays(**axis, task_axis=True))[1], LAST)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (FIRST, LAST / np.float32(255), r"train_images \(uint8, 0 to 255\).*\(float32, 0 to 1\)"),
        (FIRST.astype(np.uint16) * 257, LAST / 255, r"uint16, 0 to 65535.*float64, 0 to 1"),
        (FIRST.astype("f4"), LAST / np.float32(255), r"float32, 0 to 255.*float32, 0 to 1"),
        (FIRST.astype("f4"), LAST / 127.5 - 1, r"float32, 0 to 255.*float64, -1 to 1"),
        (FIRST > 127, LAST / 255, r"bool, 0 to 1.*suite\.value_range"),
        (FIRST, LAST.astype("f4"), r"uint8, .*float32, 0 to 255.*suite\.value_range"),
        (FIRST, LAST.astype(np.int64), r"uint8, .*int64, 0 to 255.*suite\.value_range"),
        (FIRST, LAST.astype(np.uint16), r"uint8, .*uint16, 0 to 255.*suite\.value_range"),
    ],
)
def test_images_whose_numbers_are_not_of_one_scale_are_refused(
    tmp_path: Path, train: np.ndarray, test: np.ndarray, said: str
) -> None:
    with pytest.raises(MtlError, match=said) as caught:
        arrays(**halves(tmp_path, train, test))
    assert "save both with one dtype and range" in str(caught.value)
    assert "\n" not in str(caught.value).removeprefix("1 problem:\n")
    far = {train.dtype.kind, test.dtype.kind} & {"f"} and train.dtype != np.bool_
    if far and float(test.max()) <= 1:
        assert "value_range" not in str(caught.value)
        with pytest.raises(MtlError, match=said):
            arrays(**halves(tmp_path, train, test), value_range=(-1.0, 65535.0))


def test_a_range_that_is_given_holds_for_all_dtypes(tmp_path: Path) -> None:
    for dtype in (np.int64, np.uint16, np.float32):
        suite = arrays(**halves(tmp_path, FIRST, LAST.astype(dtype)), value_range=(0.0, 255.0))
        assert all(map(np.array_equal, inputs(suite), (FIRST, LAST)))
        assert any("scaled to 0 to 255 by suite.value_range" in note for note in suite.notes)
    where = halves(tmp_path, FIRST > 127, LAST.astype(np.uint16) * 4)
    train, test = inputs(arrays(**where, value_range=(0.0, 1020.0)))
    assert np.array_equal(train, np.where(FIRST > 127, 255, 0))
    assert np.array_equal(test, LAST)
    with pytest.raises(MtlError, match=r"test_images holds numbers from 0 to 1020"):
        arrays(**where, value_range=(0.0, 255.0))


def test_floats_of_several_widths_and_arrays_without_a_row_are_joined(tmp_path: Path) -> None:
    unit = BYTES / 255
    train, test = inputs(arrays(**halves(tmp_path, unit[:12].astype("f4"), unit[12:])))
    assert np.allclose(np.concatenate([train, test]), unit)
    empty = Found("f.npz: images", {"train": BYTES, "test": np.zeros((0, 4, 4, 3))})
    assert joined_inputs(empty, images=True).array.dtype == np.uint8


def test_features_are_joined_where_they_are_measured_or_tokens_in_all_splits(
    tmp_path: Path,
) -> None:
    rows = BYTES.reshape(20, -1)
    for train, test in ((np.float32, np.float64), (np.int32, np.int64)):
        where = halves(tmp_path, rows[:12].astype(train), rows[12:].astype(test), "features")
        assert all(map(np.array_equal, inputs(arrays(**where)), (rows[:12], rows[12:])))
    for other in (rows[12:].astype(np.int64), rows[12:] / 255, rows[12:] > 127):
        where = halves(tmp_path, rows[:12], other, "features")
        with pytest.raises(MtlError, match=re.escape(f"test_features ({other.dtype}, 0 to")):
            arrays(**where)


def test_images_in_a_folder_called_features_are_images(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    for stacked in (False, True):
        several = {"images": np.stack([BYTES] * 2), "labels": np.stack([LABELS] * 2)}
        contents = several if stacked else {"images": BYTES, "labels": LABELS}
        suite = arrays(**save(folder, **contents), task_axis=stacked)
        assert suite.input_shape == (3, 4, 4)
        assert inputs(suite)[0].dtype == np.uint8


# -- orders of bytes -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", "u2"])
def test_arrays_of_the_other_order_of_bytes(tmp_path: Path, dtype: str) -> None:
    values = BYTES.astype(np.uint16) * 257 if dtype == "u2" else BYTES / 255
    for name, numbers in (("images", values), ("features", values.reshape(20, -1))):
        suites = [
            arrays(**save(tmp_path, **{name: numbers.astype(order + dtype)}, labels=written))
            for order, written in (("<", LABELS), (">", LABELS.astype(">i8")))
        ]
        for one, other in zip(*map(inputs, suites), strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
        assert suites[0].tasks[0].train.targets.equal(suites[1].tasks[0].train.targets)
        rows = "".join(f"{label}\n" for label in LABELS)
        (tmp_path / "t.csv").write_text("kind\n" + rows)
        found = []
        for order in "<>":
            np.save(tmp_path / "x.npy", numbers.astype(order + dtype))
            found.append(inputs(table(path="t.csv", data_root=str(tmp_path), inputs="x.npy")))
        for one, other in zip(*found, strict=True):
            assert np.array_equal(one, other)
    if dtype == "u2":
        np.save(tmp_path / "x.npy", BYTES.astype(">u2"))
        suite = table(path="t.csv", data_root=str(tmp_path), inputs="x.npy")
        assert any("nearly black" in note for note in suite.notes)
