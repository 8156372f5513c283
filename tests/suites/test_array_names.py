"""Arrays by the names and shapes that others give them: read as what they are, or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from mtl_suites.array_names import meaning, without_split
from mtl_suites.arrays import arrays

from mtl_framework.data.tasks import Binary, Classification, Regression, Suite
from mtl_framework.support.errors import MtlError

SIZES = {"train": 12, "validation": 6, "test": 6}
WORDS = {
    "train": ["train", "training", "trn", "tr"],
    "validation": ["validation", "valid", "val", "dev"],
    "test": ["test", "testing", "tst", "te"],
}
INPUTS = ["images", "image", "x", "X", "data", "inputs", "pixels", "Images"]
LABELS = ["labels", "label", "y", "Y", "target", "targets"]


def images(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count * 20).reshape(count, 4, 5).astype(np.uint8)


def save(file: Path, **contents: Any) -> dict[str, Any]:
    np.savez(file, **contents)
    return {"path": file.name, "data_root": str(file.parent)}


def content(suite: Suite) -> dict[str, Any]:
    return {
        task.name: {
            split: (torch.as_tensor(examples.inputs).tolist(), examples.targets.tolist())
            for split, examples in task.splits().items()
        }
        for task in suite.tasks
    }


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, str]:
    """Names of both tasks' arrays, by what they are called in the plainest file."""
    order = draw(
        st.sampled_from(
            [
                *("{split}_{task}_{role}", "{task}_{split}_{role}", "{task}_{role}_{split}"),
                *("{role}_{split}_{task}", "{split}_{role}_{task}"),
            ]
        )
    )
    between = draw(st.sampled_from("_-."))
    roles = {"images": draw(st.sampled_from(INPUTS)), "labels": draw(st.sampled_from(LABELS))}
    words = {split: draw(st.sampled_from(forms)) for split, forms in WORDS.items()}
    cases: list[Callable[[str], str]] = [str, str.upper, str.capitalize]
    case = draw(st.sampled_from(cases))
    return {
        f"{split}_{task}_{role}": order.format(
            split=case(words[split]), task=task, role=roles[role]
        ).replace("_", between)
        for split in SIZES
        for task in ("greek", "old")
        for role in roles
    }


@settings(max_examples=60, deadline=None)
@given(dialects(), st.randoms(use_true_random=False))
def test_arrays_called_in_many_ways_are_the_same_suite(
    tmp_path_factory: pytest.TempPathFactory, names: dict[str, str], random: Any
) -> None:
    folder = tmp_path_factory.mktemp("names")
    plain = {
        f"{split}_{task}_{role}": (
            images(count, first + len(split) % 4) if role == "images" else np.arange(count) % 3
        )
        for first, task in enumerate(("greek", "old"))
        for split, count in SIZES.items()
        for role in ("images", "labels")
    }
    expected = arrays(**save(folder / "plain.npz", **plain), tasks=["greek", "old"])
    keys = list(plain)
    random.shuffle(keys)
    suite = arrays(**save(folder / "other.npz", **{names[key]: plain[key] for key in keys}))
    assert content(suite) == content(expected)
    assert set(content(suite)["old"]) == set(SIZES)


@pytest.mark.parametrize(
    "names",
    [
        "train_images train_labels val_images val_labels test_images test_labels",  # MedMNIST
        "training_images training_labels dev_images dev_labels testing_images testing_labels",
        "x_train y_train x_val y_val x_test y_test",  # Keras
        "X_train Y_train X_valid Y_valid X_test Y_test",
        "Xtr Ytr Xval Yval Xte Yte",
        "train_x train_y validation_x validation_y test_x test_y",
        "train_data train_targets val_data val_targets test_data test_targets",
        "xTrain yTrain xVal yVal xTest yTest",
    ],
)
def test_files_as_collections_distribute_them_are_one_task(tmp_path: Path, names: str) -> None:
    contents: dict[str, np.ndarray] = {}
    first = 0
    for (inputs, labels), count in zip(
        zip(*[iter(names.split())] * 2, strict=True), SIZES.values(), strict=True
    ):
        contents |= {inputs: images(count, first), labels: (np.arange(count) % 3)[:, None]}
        first += count
    suite = arrays(**save(tmp_path / "a.npz", **contents))
    assert suite.task_names == ("labels",)
    assert {split: len(x) for split, x in suite.tasks[0].splits().items()} == SIZES
    assert suite.tasks[0].objective == Classification(3, ("0", "1", "2"))
    assert not any("not read" in note for note in suite.notes)


def test_images_and_labels_without_splits_by_usual_names(tmp_path: Path) -> None:
    pixels, classes = images(30), np.arange(30) % 2
    for inputs, labels in (("X", "y"), ("data", "target"), ("imgs", "labels"), ("image", "label")):
        where = save(tmp_path / "a.npz", **{inputs: pixels, labels: classes})
        assert arrays(**where).tasks[0].objective == Classification(2, ("0", "1"))
    where = save(  # as scikit-learn has its digits
        tmp_path / "a.npz",
        data=pixels.reshape(30, -1) / 16,
        images=pixels / 16,
        target=classes,
        target_names=np.array(["even", "odd"]),
        feature_names=np.array(["a"]),
        frame=np.zeros(0),
    )
    suite = arrays(**where)
    assert suite.input_shape == (1, 4, 5)
    assert suite.tasks[0].objective == Classification(2, ("even", "odd"))
    assert "arrays that are not read: data, feature_names, frame" in suite.notes


def test_one_picture_with_several_label_arrays(tmp_path: Path) -> None:
    contents = {
        "x_train": images(20),
        "x_test": images(10, 7),
        "train_fine_labels": np.arange(20) % 4,
        "test_fine_labels": np.arange(10) % 4,
        "age_train": np.linspace(0, 1, 20),
        "age_test": np.linspace(0, 1, 10),
        "train_ids": np.arange(20),
        "mean": np.zeros(3),
    }
    suite = arrays(**save(tmp_path / "a.npz", **contents))
    assert suite.task_names == ("fine_labels", "age")
    assert suite.common_input
    told = "\n".join(suite.notes)
    assert "every one with an entry for each input is a task: fine_labels, age;" in told
    assert "not read: train_ids, mean" in told


def test_columns_of_labels_are_tasks_classes_or_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    marks = (rng.random((40, 3)) > 0.5).astype(np.uint8)
    where = save(tmp_path / "a.npz", images=images(40), labels=marks)
    suite = arrays(**where)
    assert suite.task_names == ("labels_0", "labels_1", "labels_2")
    assert suite.common_input
    assert all(task.objective == Binary() for task in suite.tasks)
    rows = content(suite)
    for split in ("train", "test"):
        for n in range(3):
            inputs, targets = rows[f"labels_{n}"][split]
            places = [images(40).tolist().index(pixels[0]) for pixels in inputs]
            assert targets == marks[places, n].tolist()
    assert any("suite.kinds.labels=numbers takes them as numbers" in note for note in suite.notes)
    numbers = arrays(**where, kinds={"labels": "numbers"})
    assert numbers.tasks[0].objective.num_outputs == 3
    classes = arrays(**where, kinds={"labels": "classes", "labels_1": "binary"})
    assert [type(task.objective) for task in classes.tasks] == [
        Classification, Binary, Classification,
    ]  # fmt: skip

    holes = np.where(np.arange(120).reshape(40, 3) % 7 == 0, np.nan, marks)
    named = {"labels_names": np.array(["red", "green", "blue"]), "labels": holes}
    suite = arrays(**save(tmp_path / "b.npz", images=images(40), **named))
    assert suite.task_names == ("labels_red", "labels_green", "labels_blue")
    assert all(task.objective == Binary() for task in suite.tasks)
    assert suite.tasks[0].train.num_labelled < len(suite.tasks[0].train)

    hot = np.eye(4)[np.arange(40) % 4]
    where = save(tmp_path / "c.npz", images=images(40), labels=hot)
    suite = arrays(**where)
    assert suite.tasks[0].objective == Classification(4, ("0", "1", "2", "3"))
    assert any("a single 1 in every row of 4: taken as classes" in note for note in suite.notes)
    assert len(arrays(**where, kinds={"labels": "binary"}).tasks) == 4

    counts = np.arange(80).reshape(40, 2)
    suite = arrays(**save(tmp_path / "d.npz", images=images(40), labels=counts))
    assert isinstance(suite.tasks[0].objective, Regression)
    assert any("2 numbers a row: taken as numbers; suite.kinds" in note for note in suite.notes)


@pytest.mark.parametrize(
    ("pixels", "hint"),
    [
        (
            np.linspace(0, 255, 800).reshape(40, 4, 5),
            r"floats from 0 to 255 .*value_range=\[0, 255",
        ),
        (np.linspace(-1, 1, 800).reshape(40, 4, 5), r"floats from -1 to 1 .*value_range=\[-1, 1\]"),
        (np.arange(800).reshape(40, 4, 5).astype("u2"), r"above 799: nearly black.*\[0, 4095\]"),
        (np.zeros((40, 3, 5, 3), "u1"), "both ends of .3, 5, 3.: taken as the last"),
        (np.linspace(0, 1, 800).reshape(40, 4, 5), ""),
        (np.zeros((40, 3, 5, 5), "u1"), ""),
    ],
)
def test_images_near_the_line_are_told(tmp_path: Path, pixels: np.ndarray, hint: str) -> None:
    suite = arrays(**save(tmp_path / "a.npz", images=pixels, labels=np.arange(40) % 2))
    told = [note for note in suite.notes if "images:" in note and "in both" not in note]
    assert len(told) == bool(hint)
    if hint:
        with pytest.raises(AssertionError, match=hint):
            raise AssertionError(told[0])


@pytest.mark.parametrize("kind", ["i8", "u2", "f4"])
def test_a_range_of_numbers_becomes_bytes(tmp_path: Path, kind: str) -> None:
    pixels = np.arange(800).reshape(40, 4, 5).astype(kind)
    where = save(tmp_path / "a.npz", images=pixels, labels=np.arange(40) % 2)
    task = arrays(**where, value_range=(0.0, 799.0)).tasks[0]
    assert torch.as_tensor(task.train.inputs).dtype == torch.uint8
    assert int(torch.as_tensor(task.test.inputs).max()) > 200
    assert task.pictures.value_range == (0, 799)
    with pytest.raises(MtlError, match=r"they should be from 0 to 255: say"):
        arrays(**where, value_range=(0.0, 255.0))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"arr_0": images(9), "arr_1": np.zeros(9)}, r"suite.inputs=arr_0$"),
        ({"X": images(9), "data": images(9), "y": np.zeros(9)}, "X and data may both be the imag"),
        ({"x": images(9), "y": np.zeros(9), "label": np.zeros(9)}, "y and label may both .*labels"),
        (
            {"images": images(9), "labels": np.array(["a", None] * 4, object)},
            r"'labels' holds objects of Python.*\.astype\(str\)",
        ),
    ],
)
def test_names_that_do_not_tell_are_refused_with_the_remedy(
    tmp_path: Path, contents: dict[str, Any], message: str
) -> None:
    with pytest.raises(MtlError, match=message) as caught:
        arrays(**save(tmp_path / "a.npz", **contents))
    assert "skip_bad" not in str(caught.value)


def test_unnamed_arrays_can_be_named(tmp_path: Path) -> None:
    where = save(tmp_path / "a.npz", arr_0=images(20), arr_1=np.arange(20) % 2)
    assert len(arrays(**where, inputs="arr_0", labels="arr_1").tasks[0].train) == 16


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\x89HDF\r\n", "an HDF5 file: import h5py.*numpy.savez"),
        (b"MATLAB 7.3 MAT-file", "of version 7.3, which is HDF5: import h5py.*numpy.savez"),
        (b"MATLAB 5.0 MAT-file", "cannot be read as a file of MATLAB"),
        (b"PAR1", "a Parquet file: the suite 'table' reads it"),
        (b"\x1f\x8b", r"compressed by gzip: decompress it \(gunzip\)"),
        (b"\x80\x04K.", "a pickle, which would execute code when read: save its arrays"),
        (b"\0\0\x08\x03", r"in MNIST's format \(idx\)"),
        (b"a" * 257 + b"ustar", r"an archive \(tar\): unpack it"),
        (b"<!DOCTYPE html>", "a web page"),
    ],
)
def test_other_files_are_named_with_the_remedy(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "a.npz").write_bytes(start + bytes(200))
    with pytest.raises(MtlError, match=what):
        arrays(path="a.npz", data_root=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x_train_greek", ("images", "train", "greek", False)),
        ("greek_letters_val_y", ("labels", "validation", "greek_letters", True)),
        ("greek_images_packed", ("images", None, "greek", True)),
        ("Hold-out_greek_y", ("labels", "test", "greek", True)),
        ("image_shape", None),
        ("label_names", None),
        ("split", None),
        ("age", None),
    ],
)
def test_what_names_say(name: str, expected: tuple[str, str | None, str, bool] | None) -> None:
    told = meaning(name)
    assert (told and (told.role, told.split, told.task, told.last)) == expected


def test_a_split_is_taken_off_a_name() -> None:
    assert [without_split(name) for name in ("val_age", "age_Test", "age", "train", "a-dev")] == [
        "age", "age", "age", "train", "a",
    ]  # fmt: skip
