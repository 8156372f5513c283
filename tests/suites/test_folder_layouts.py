"""Folders written in many layouts come back as the same suite; nothing is dropped in silence."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mtl_suites.faults import Faults
from mtl_suites.folders import folders
from PIL import Image
from support.typed import stored

from mtl_framework.data import known_split, split_name
from mtl_framework.data.tasks import Classification, Suite
from mtl_framework.support.errors import MtlError, ProblemsError

COUNTS = {"train": 3, "validation": 2, "test": 2}
NAMES = {
    "train": ["train", "Training", "train_set", "TRN"],
    "validation": ["val", "Valid", "dev", "validation-set"],
    "test": ["test", "Testing", "test set", "tst", "Hold-out", "held_out"],
}


def draw(path: Path, number: int, size: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size, size, 3), number % 256, np.uint8)
    pixels[0, 0] = number // 256
    lossless: dict[str, Any] = {"lossless": True} if path.suffix.lower() == ".webp" else {}
    Image.fromarray(pixels).save(path, **lossless)


def content(suite: Suite) -> dict[str, list[tuple[int, ...]]]:
    """By split, the brightness and class of every picture, in any order."""
    (task,) = suite.tasks
    return {
        split: sorted(
            (int(image[0, 3, 3]), int(label))
            for image, label in zip(stored(examples), examples.targets, strict=True)
        )
        for split, examples in task.splits().items()
    }


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_layouts_of_one_task_come_back_as_the_same_suite(data: st.DataObject) -> None:
    names = {split: data.draw(st.sampled_from(NAMES[split])) for split in COUNTS}
    suffix = data.draw(st.sampled_from([".png", ".BMP", ".tif", ".webp", ".ppm", ".tga", ".PNG"]))
    own_folder = data.draw(st.booleans())
    nested = data.draw(st.booleans())
    litter = data.draw(
        st.lists(st.sampled_from(["._0.png", ".DS_Store", "Thumbs.db"]), unique=True)
    )
    expected: dict[str, list[tuple[int, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "animals"
        number = 10
        for split, count in COUNTS.items():
            for label, name in enumerate(("cat", "dog")):
                place = (root / "pets" if own_folder else root) / names[split] / name
                for n in range(count):
                    number += 1
                    draw((place / "more" if nested else place) / f"{n}{suffix}", number)
                    expected.setdefault(split, []).append((number, label))
                for file in litter:
                    (place / file).write_bytes(b"left behind")
        if litter:
            (root / "__MACOSX" / "pets").mkdir(parents=True)
        suite = folders(path=str(root))
        assert suite.task_names == ("pets" if own_folder else "animals",)
        assert content(suite) == expected
        assert suite.tasks[0].objective.class_names == ("cat", "dog")  # type: ignore[attr-defined]
        told = " ".join(suite.notes)
        assert ("is one task, 'animals'" in told) == (not own_folder)
        assert ("a system's or hidden files" in told) == bool(litter)


def test_a_folder_of_classes_alone_is_one_task(tmp_path: Path) -> None:
    for label, name in enumerate(("a", "b")):
        for n in range(10):
            draw(tmp_path / "set" / name / f"{n}.png", 20 * label + n)
    suite = folders(data_root=str(tmp_path), path="set")
    assert suite.task_names == ("set",)
    assert "one task, 'set', with the classes a, b" in suite.notes[0]
    assert folders(data_root=str(tmp_path), path="set", tasks=["mine"]).task_names == ("mine",)
    with pytest.raises(MtlError, match="holds one task"):
        folders(data_root=str(tmp_path), path="set", tasks=["one", "two"])


def test_links_to_nothing_and_names_that_are_no_text(tmp_path: Path) -> None:
    for n in range(10):
        draw(tmp_path / "pets" / "ab"[n % 2] / f"{n}.png", n)
    (tmp_path / "pets/gone").symlink_to("/nowhere/else")
    (tmp_path / "pets/above").symlink_to("..")
    suite = folders(path="pets", data_root=str(tmp_path))
    assert "left out links in pets that lead to nothing, or to a folder above: 2" in " ".join(
        note.replace(f"{tmp_path}/", "") for note in suite.notes
    )
    os.rename(tmp_path / "pets/a/0.png", os.fsencode(tmp_path / "pets/a") + b"/\xff.png")
    with pytest.raises(ProblemsError, match=r"a/\\udcff\.png: has a name that is no text in UTF"):
        folders(path="pets", data_root=str(tmp_path))
    assert "skip_bad left out 1 fault" in " ".join(
        folders(path="pets", data_root=str(tmp_path), skip_bad=True).notes
    )


def test_nothing_beside_tasks_splits_and_classes_is_dropped_in_silence(tmp_path: Path) -> None:
    for label, name in enumerate(("a", "b")):
        for n in range(10):
            draw(tmp_path / "plain" / name / f"{n}.png", 100 * label + 3 * n)
            for split in ("train", "test"):
                draw(
                    tmp_path / "split" / split / name / f"{n}.png", 90 * label + 3 * n + len(split)
                )
    for place in (tmp_path, tmp_path / "plain", tmp_path / "split", tmp_path / "split/train"):
        draw(place / "stray.png", 77)
        (place / "readme.md").write_text("x")
    (tmp_path / "labels.csv").write_text("x")
    (tmp_path / ".DS_Store").write_text("x")
    suite = folders(data_root=str(tmp_path), layout="tasks")
    assert suite.task_names == ("plain", "split")
    lines = suite.record["left_out"]
    assert set(lines) <= set(suite.notes)
    for at, what in (("plain", "classes"), ("split", "splits"), ("split/train", "classes")):
        where = f"in {at} beside the folders of {what}"
        assert f"left out pictures {where} (stray.png): 1" in lines
        assert f"left out files {where}: 1" in lines
    assert any("beside the folders of tasks (stray.png): 1" in line for line in lines)
    assert any("files in" in line and "of tasks: 2" in line for line in lines)
    assert "left out a system's or hidden files: 1" in lines


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    for label, name in enumerate(("a", "b")):
        for n in range(10):
            draw(tmp_path / "set" / name / f"{n}.jfif", 100 * label + 3 * n)
    (tmp_path / "set" / "c").mkdir()
    (tmp_path / "set" / "labels.csv").write_text("x")
    for n in range(3):
        (tmp_path / "set" / "a" / f"{n}.txt").write_text("x")
    (tmp_path / "root").mkdir()
    shutil.move(tmp_path / "set", tmp_path / "root" / "t")
    suite = folders(data_root=str(tmp_path), path="root")
    assert suite.task_names == ("t",)
    lines = suite.record["left_out"]
    assert "left out .txt: not a kind of image that is read: 3" in lines
    assert "left out classes without an image, t/c: 1" in lines
    assert any("beside the folders of classes: 1" in line for line in lines)
    assert set(lines) <= set(suite.notes)


@pytest.mark.parametrize("name", ["trainer", "tests", "", "testing2", "evaluation"])
def test_other_names_are_no_splits(name: str) -> None:
    assert known_split(name) is None
    with pytest.raises(MtlError, match="split"):
        split_name(name)


# -- one picture in two splits ---------------------------------------------------------------------


@pytest.fixture
def twice(tmp_path: Path) -> Path:
    """A task whose test has a copy, a link and a hard link of pictures in training."""
    for number, (split, name) in enumerate(
        (s, n) for s in ("train", "val", "test") for n in ("a", "b")
    ):
        for n in range(5):
            draw(tmp_path / split / name / f"{n}.png", 20 * number + n)
    shutil.copy(tmp_path / "train" / "a" / "0.png", tmp_path / "test" / "a" / "copy.png")
    (tmp_path / "test" / "b" / "link.png").symlink_to(tmp_path / "train" / "b" / "1.png")
    os.link(tmp_path / "train" / "b" / "2.png", tmp_path / "test" / "b" / "hard.png")
    shutil.copy(tmp_path / "train" / "a" / "3.png", tmp_path / "val" / "a" / "copy.png")
    return tmp_path


def test_pictures_in_training_and_test_are_refused_with_both_names(twice: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        folders(path=str(twice))
    problems = "\n".join(caught.value.problems)
    for there, here in (("a/copy", "a/0"), ("b/link", "b/1"), ("b/hard", "b/2")):
        assert f"test/{there}.png: is the same picture in test as" in problems
        assert f"train/{here}.png' in train" in problems
    assert "suite.duplicates=warn" in problems
    assert len(caught.value.problems) == 4


def test_they_can_be_left_out_told_or_allowed(twice: Path) -> None:
    suite = folders(path=str(twice), skip_bad=True)
    assert len(suite.tasks[0].train) == 7
    assert len(suite.tasks[0].test) == 13
    suite = folders(path=str(twice), duplicates="warn")
    assert len(suite.tasks[0].train) == 10
    assert any("3 pictures are in both train and test, e.g." in note for note in suite.notes)
    assert any("1 picture is in both train and validation" in note for note in suite.notes)
    suite = folders(path=str(twice), duplicates="allow")
    assert not any("are in both" in note for note in suite.notes)


# -- faults of many files --------------------------------------------------------------------------


def test_faults_are_grouped_by_cause_and_lead_with_the_best_remedy(tmp_path: Path) -> None:
    for label, name in enumerate(("a", "b")):
        for n in range(10):
            draw(tmp_path / "t" / name / f"{n}.png", 30 * label + n, size=6 + n)
    with pytest.raises(ProblemsError) as caught:
        folders(data_root=str(tmp_path))
    hint, *problems = caught.value.problems
    assert "suite.size=PIXELS" in hint
    assert "skip_bad" not in hint
    assert len(problems) <= 4
    assert any("times: has shape" in p and "more" in p for p in problems)


def test_few_faults_stay_single() -> None:
    faults = Faults("s", skip=False)
    for n in range(4):
        faults.add(f"file{n}", "is 3 pixels wide")
    assert len(faults.grouped()) == 4
    faults.add("file9", "is 7 pixels wide")
    assert faults.grouped() == ["5 times: is 3 pixels wide: file0, file1, file2 and 2 more"]


def fill(root: Path, *folders: str, count: int = 6, first: int = 0) -> None:
    for number, folder in enumerate(folders):
        for n in range(count):
            draw(root / folder / f"{n}.png", first + number * count + n)


def test_folders_that_hold_nothing_but_a_folder_are_looked_through(tmp_path: Path) -> None:
    fill(tmp_path / "d" / "archive" / "pets", "train/a", "train/b", "test/a", "test/b")
    suite = folders(path="d", data_root=str(tmp_path))
    assert suite.task_names == ("pets",)
    assert "holds nothing but" in suite.notes[0]
    again = folders(path="d/archive/pets", data_root=str(tmp_path))
    assert content(suite) == content(again)
    deep = folders(path="d/archive", data_root=str(tmp_path))
    assert content(suite) == content(deep)


def test_classes_that_are_called_like_splits_are_classes_beside_other_classes(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "vehicles", "train", "bus", "car")
    suite = folders(path="vehicles", data_root=str(tmp_path))
    objective = suite.tasks[0].objective
    assert isinstance(objective, Classification)
    assert objective.class_names == ("bus", "car", "train")


def test_rare_classes_of_folders_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "d" / "t", "a", "b", count=12)
    fill(tmp_path / "d" / "t", "c", count=3, first=30)
    suite = folders(path="d", data_root=str(tmp_path))
    told = [note for note in suite.notes if note.startswith("t: few examples of 'c' (1 in train")]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (
            ["a/train", "a/test", "b/train", "b/test"],
            "6 pictures: move them to .*/a/ if it is a cl",
        ),
        (
            ["train/a", "train/b", "test"],
            "6 pictures, whose classes are not known: .* or move the fold",
        ),
        (["."], "but 6 pictures: put those of a class into a folder of its name, or list them"),
    ],
)
def test_layouts_without_classes_are_refused_with_the_remedy(
    tmp_path: Path, layout: list[str], message: str
) -> None:
    fill(tmp_path / "d", *layout)
    with pytest.raises(MtlError, match=message):
        folders(path="d", data_root=str(tmp_path))


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "d.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(MtlError, match=r"d\.zip is a file and no folder: unpack it"):
        folders(path="d.zip", data_root=str(tmp_path))


@pytest.mark.parametrize(
    ("suffix", "told"),
    [
        (".dcm", r"but 4 \.dcm files: save the slices as 16-bit PNG"),
        (".nii.gz", r"but 4 \.nii\.gz files: save the slices"),
        (".npy", r"but 4 \.npy files: the suite 'table' reads them"),
        ("", r"but 4 files without a suffix: give them the suffix"),
        (".xyz", r"but 4 \.xyz files$"),
    ],
)
def test_folders_without_a_picture_say_what_they_hold(
    tmp_path: Path, suffix: str, told: str
) -> None:
    for n in range(4):
        path = tmp_path / "set" / "ab"[n % 2] / f"{n}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0")
    with pytest.raises(MtlError, match=f"holds no picture that is read, {told}"):
        folders(path="set", data_root=str(tmp_path))
