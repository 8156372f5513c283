"""Arrays in files of MATLAB and in a file a split; inputs that two splits have in common."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from mtl_suites.arrays import arrays

from mtl_framework.data.tasks import Suite
from mtl_framework.support.errors import MtlError, ProblemsError


def house_numbers(count: int, first: int = 0) -> dict[str, np.ndarray]:
    """As SVHN has them: pictures along the last axis, labels from 1 in a column."""
    pictures = np.arange(first, first + count, dtype=np.uint8)
    labels = (np.arange(count) % 3 + 1).astype(np.uint8)
    return {"X": np.broadcast_to(pictures, (8, 8, 3, count)).copy(), "y": labels[:, None]}


def inputs(suite: Suite, split: str) -> list[int]:
    found = torch.as_tensor(suite.tasks[0].splits()[split].inputs)
    assert found.shape[1:] == (3, 8, 8)
    assert found.dtype == torch.uint8
    return found[:, 0, 0, 0].tolist()


def test_a_folder_with_a_matlab_file_a_split_is_one_task(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "train_8x8.mat", house_numbers(30))
    scipy.io.savemat(tmp_path / "test_8x8.mat", house_numbers(12, 100))
    scipy.io.savemat(tmp_path / "extra_8x8.mat", house_numbers(3, 200))
    suite = arrays(path=".", data_root=str(tmp_path))
    assert inputs(suite, "train") == list(range(30))
    assert inputs(suite, "test") == list(range(100, 112))
    assert suite.tasks[0].train.targets.tolist() == [n % 3 for n in range(30)]
    told = "\n".join(suite.notes)
    assert "a file a split: test_8x8.mat, train_8x8.mat" in told
    assert "names say no split: extra_8x8.mat: left out" in told
    assert "test_8x8.mat: examples lie along the last axis of X" in told
    assert "classes, 3 classes (1, 2, 3)" in told
    one = arrays(path="train_8x8.mat", data_root=str(tmp_path), test_per_task=6)
    assert sorted(inputs(one, "train") + inputs(one, "test")) == list(range(30))


def test_texts_and_rows_of_features_in_a_matlab_file(tmp_path: Path) -> None:
    labels = np.array([["cat"], ["dog"]] * 10, object)
    content = {"features": np.arange(40.0).reshape(20, 2), "labels": labels}
    scipy.io.savemat(tmp_path / "a.mat", content)
    suite = arrays(path="a.mat", data_root=str(tmp_path))
    assert "labels: classes, 2 classes (cat, dog), 20 labelled" in "\n".join(suite.notes)
    scipy.io.savemat(tmp_path / "b.mat", {"images": {"a": 1}, "labels": np.arange(4)})
    with pytest.raises(MtlError, match="'images' cannot be read"):
        arrays(path="b.mat", data_root=str(tmp_path))


def test_folders_that_are_no_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"folder without an \.npz or \.mat file of a train split"):
        arrays(path=".", data_root=str(tmp_path))
    for name in ("train.npz", "training_2.npz"):
        np.savez(tmp_path / name, images=np.zeros((4, 4, 4), np.uint8), labels=np.arange(4) % 2)
    with pytest.raises(MtlError, match=r"train\.npz and training_2\.npz are both the train split"):
        arrays(path=".", data_root=str(tmp_path))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a/b.png", b"0")
    with pytest.raises(MtlError, match="archive of other files: unpack it"):
        arrays(path="x.zip", data_root=str(tmp_path))


def test_inputs_that_two_splits_have_are_told_refused_or_not_looked_for(tmp_path: Path) -> None:
    pixels = np.arange(60 * 16).reshape(60, 4, 4).astype(np.uint8)
    pixels[:, 0, 0], pixels[:, 0, 1] = np.arange(60), 7
    pixels[50], pixels[51], pixels[5] = pixels[3], pixels[4], pixels[3]
    content = {"x_train": pixels[:40], "x_test": pixels[40:]}
    labels = {"y_train": np.arange(40) % 2, "y_test": np.arange(20) % 2}
    np.savez(tmp_path / "a.npz", **content, **labels)  # type: ignore[arg-type]
    where: dict[str, Any] = {"path": "a.npz", "data_root": str(tmp_path)}
    told = arrays(**where, duplicates="warn").notes
    (line,) = [note for note in told if "in both" in note]
    assert "2 inputs are in both train and test, e.g. row 3 of train and row 10 of test" in line
    assert not any("in both" in note for note in arrays(**where, duplicates="allow").notes)
    with pytest.raises(ProblemsError, match="row 11 of test: is the same picture in test as row 4"):
        arrays(**where)
    kept = arrays(**where, skip_bad=True)
    assert len(kept.tasks[0].train) == 37  # rows 3, 4 and 5, which is a copy of 3
    assert len(kept.tasks[0].test) == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": np.datetime64("2024-01-01") + np.arange(40)}, "found dates, datetime64"),
        ({"labels": np.arange(40) * 1j}, "found complex numbers"),
        ({"images": np.zeros((4, 4, 3, 40), np.uint8)}, r"its last axis: numpy\.moveaxis"),
        ({"images": np.zeros((40, 4, 4, 4, 1), np.uint8)}, "should have shape"),
        ({"labels": np.linspace(1e39, 1e40, 40)}, "beyond the range of single precision"),
    ],
)
def test_what_no_network_can_learn_of_is_refused_in_words(
    tmp_path: Path, content: dict[str, np.ndarray], message: str
) -> None:
    plain = {"images": np.zeros((40, 4, 4), np.uint8), "labels": np.arange(40) % 2}
    np.savez(tmp_path / "a.npz", **{**plain, **content})  # type: ignore[arg-type]
    with pytest.raises((MtlError, ProblemsError), match=message):
        arrays(path="a.npz", data_root=str(tmp_path))


def test_rows_of_bytes_that_may_be_pictures_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((40, 192), np.uint8), labels=np.arange(40) % 2)
    notes = arrays(path="a.npz", data_root=str(tmp_path)).notes
    assert any("where they are pictures, save them as (N, 3, 8, 8)" in note for note in notes)
