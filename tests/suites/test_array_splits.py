"""Arrays that say which rows are in which split are understood, or refused with the remedy."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from mtl_suites.array_splits import split_meaning
from support.arrays import by_split, chosen, numbered, save

from mtl_framework.support.errors import MtlError

ROWS = {"train": [0, 3, 4, 7, 8, 11], "validation": [1, 6], "test": [2, 5, 9, 10]}
WORDS = {
    "train": ["train", "training", "trn"],
    "validation": ["val", "valid", "validation", "dev"],
    "test": ["test", "testing", "tst"],
}
LABELS = np.array(["a", "b"])[np.arange(12) // 2 % 2]


def splits(folder: Path, **arrays: Any) -> dict[str, list[int]]:
    where = save(folder, images=numbered(12), labels=LABELS, **arrays)
    return by_split(chosen(**where))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_dialect_says_the_same_splits(tmp_path: Path, data: st.DataObject) -> None:
    how = data.draw(st.sampled_from(["names", "rows", "mask"]))
    spelled = {split: data.draw(st.sampled_from(words)) for split, words in WORDS.items()}
    if how == "names":
        names = np.empty(12, "U20")
        for split, rows in ROWS.items():
            case = data.draw(st.sampled_from(["upper", "title", "lower"]))
            names[rows] = getattr(spelled[split], case)()
        key = data.draw(st.sampled_from(["split", "subset", "Partition", "labels_split", "phase"]))
        arrays: dict[str, Any] = {key: names}
    else:
        ends = {"rows": ["idx", "indices", "index", "ids"], "mask": ["mask", "masks"]}[how]
        end, between = data.draw(st.sampled_from(ends)), data.draw(st.sampled_from("_-."))
        first = data.draw(st.booleans())
        arrays = {}
        for split, rows in ROWS.items():
            parts = [spelled[split], end] if first else [end, spelled[split]]
            marks = np.isin(np.arange(12), rows)
            marks = marks.astype(data.draw(st.sampled_from(["b1", "i8", "f8"])))
            numbers = np.array(data.draw(st.permutations(rows)))
            arrays[between.join(parts)] = numbers if how == "rows" else marks
    assert splits(tmp_path, **arrays) == ROWS


def test_a_task_of_its_own_has_arrays_of_its_own(tmp_path: Path) -> None:
    where = save(
        tmp_path,
        greek_images=numbered(12),
        greek_labels=LABELS,
        greek_train_idx=ROWS["train"] + ROWS["validation"],
        greek_test_idx=ROWS["test"],
        latin_images=numbered(12),
        latin_labels=LABELS,
        latin_subset=np.array(["train", "test"])[np.arange(12) % 2],
    )
    suite = chosen(**where, tasks="greek,latin")
    assert by_split(suite)["test"] == ROWS["test"]
    assert by_split(suite, 1)["test"] == [1, 3, 5, 7, 9, 11]


def test_no_array_about_splits_is_a_task(tmp_path: Path) -> None:
    where = save(
        tmp_path,
        images=numbered(12),
        age=np.arange(12) * 1.5,
        subset=np.array(["Train", "Testing"])[np.arange(12) % 2],
        fold=np.arange(12) % 3,
        phase=np.array(["full", "new"])[np.arange(12) // 2 % 2],
    )
    suite = chosen(**where)
    assert suite.task_names == ("age", "phase")
    assert "file.npz: images: subset names the splits" in " ".join(suite.notes)
    assert "arrays that are not read: fold" in " ".join(suite.notes)
    with pytest.raises(MtlError, match=r"set should name .*, found int64 \(0, 1\): save texts"):
        chosen(**save(tmp_path, images=numbered(12), age=np.arange(12), set=np.arange(12) % 2))


def test_rows_that_nobody_names_are_told(tmp_path: Path) -> None:
    def notes(**arrays: Any) -> tuple[dict[str, list[int]], str]:
        suite = chosen(**save(tmp_path, images=numbered(12), labels=LABELS, **arrays))
        return by_split(suite), " ".join(suite.notes)

    rest = sorted(set(range(12)) - set(ROWS["test"]))
    found, said = notes(is_test=np.isin(np.arange(12), ROWS["test"]))
    assert (found["train"], found["test"]) == (rest, ROWS["test"])
    assert "is_test says which rows are in which split" in said
    assert "8 rows not named there: train" in said
    found, said = notes(train_idx=rest)
    assert (found["train"], found["test"]) == (rest, ROWS["test"])
    found, said = notes(train_idx=ROWS["train"], test_idx=ROWS["test"])
    assert found == {"train": ROWS["train"], "test": ROWS["test"]}
    assert "2 rows in none of train_idx, test_idx are left out" in said


def test_numbers_of_matlab_count_from_one(tmp_path: Path) -> None:
    arrays = {f"{s}_idx": np.array(rows, float) + 1 for s, rows in ROWS.items() if s != "test"}
    pixels, labels = np.moveaxis(numbered(12, 5, 6, 3), 0, -1), np.arange(12)[:, None] // 2 % 2
    arrays["test_idx"] = np.array([3.0, 6.0])
    scipy.io.savemat(tmp_path / "file.mat", {"images": pixels, "labels": labels, **arrays})
    suite = chosen(path="file.mat", data_root=str(tmp_path))
    assert by_split(suite) == {**ROWS, "test": [2, 5]}
    assert "counted from 1" in " ".join(suite.notes)
    assert splits(tmp_path, train_idx=np.arange(1, 9), test_idx=np.arange(9, 13)) == {
        "train": list(range(8)),
        "test": list(range(8, 12)),
    }


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"split": np.arange(12) % 3},
            r"split should name .*, found int64 \(0, 1, 2\): save texts",
        ),
        ({"split": ["train"] * 11 + ["tesst"]}, r"split, row 11: unknown split 'tesst'"),
        (
            {"train_idx": [0, 1, 2, 3], "test_idx": [3, 4, 5]},
            "train_idx, test_idx have 1 row in two splits, e.g. row 3",
        ),
        ({"train_idx": [0, 1], "test_idx": [2, 13]}, r"from 0 to 11, found 13"),
        ({"train_idx": [0, 0, 1], "test_idx": [2, 3]}, "train_idx names rows twice"),
        (
            {"train_mask": np.ones((12, 10), bool), "test_mask": np.ones((12, 10), bool)},
            r"train_mask has shape \(12, 10\), which seems to be several divisions",
        ),
        ({"train_idx": [0, 1], "training_ids": [2]}, "both say which rows are the train split"),
        (
            {"split": ["train", "test"] * 6, "subset": ["train"] * 6 + ["test"] * 6},
            "split, subset both name splits; say which is meant with suite.split=split",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    where = save(tmp_path, images=numbered(12), labels=LABELS, **arrays)
    with pytest.raises(MtlError, match=message):
        chosen(**where)
    both = {"split", "subset"} <= set(arrays)
    assert by_split(chosen(**where, split="subset" if both else None))["train"]


def test_an_array_is_named_by_the_user(tmp_path: Path) -> None:
    names = np.array(["train", "test"])[np.arange(12) % 2]
    where = save(tmp_path, images=numbered(12), labels=LABELS, divided=names, split=names[::-1])
    assert by_split(chosen(**where, split="divided"))["test"] == [1, 3, 5, 7, 9, 11]
    with pytest.raises(MtlError, match="did you mean 'divided'"):
        chosen(**where, split="divide")


def test_names_that_mean_other_things() -> None:
    assert split_meaning("train_idx") is not None
    for key in (
        "images",
        "x_train",
        "valid_pixels",
        "age",
        "class_names",
        "test_images",
        "split_x",
    ):
        told = split_meaning(key)
        assert told is None or told.role == "names", key


def test_validity_is_no_validation(tmp_path: Path) -> None:
    valid = np.arange(12) % 2
    where = save(tmp_path, images=numbered(12), age=np.arange(12) * 1.5, valid=valid)
    assert chosen(**where).task_names == ("age", "valid")
