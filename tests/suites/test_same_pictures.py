"""A picture in files of other formats, or in several tasks, is refused or told with its names."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtl_suites.arrays import arrays
from mtl_suites.folders import folders
from mtl_suites.other_tasks import in_other_tasks
from mtl_suites.table import table
from PIL import Image

from mtl_framework import ProblemsError


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two pictures of test that training has, too, one in another format and one turned."""
    for number, (split, name) in enumerate((s, n) for s in ("train", "test") for n in ("a", "b")):
        for n in range(4):
            draw(tmp_path / "pets" / split / name / f"{n}.png", 10 * number + n)
    with Image.open(tmp_path / "pets/train/a/1.png") as picture:
        picture.save(tmp_path / "pets/test/a/copy.bmp")
    with Image.open(tmp_path / "pets/train/b/2.png") as picture:
        exif = Image.Exif()
        exif[0x112] = 3
        picture.transpose(Image.Transpose.ROTATE_180).save(
            tmp_path / "pets/test/b/turned.tif", exif=exif
        )
    return tmp_path


def options(pets: Path, **more: Any) -> dict[str, Any]:
    return {"path": "pets", "data_root": str(pets), "validation_per_task": 0} | more


def test_other_formats_follow_the_option(pets: Path) -> None:
    with pytest.raises(ProblemsError) as refused:
        folders(**options(pets))
    assert len(refused.value.problems) == 3  # the first line says what skip_bad does
    assert (
        f"{pets}/pets/test/a/copy.bmp: is the same picture in test as '{pets}/pets/train/a/1.png' "
        "in train in another format: remove one, or set suite.duplicates=warn"
    ) in str(refused.value)
    told = "2 pictures are in both train and test in another format, e.g. "
    assert told in " ".join(folders(**options(pets, size=6, duplicates="warn")).notes)
    assert "another format" not in " ".join(folders(**options(pets, duplicates="allow")).notes)
    skipped = folders(**options(pets, skip_bad=True))
    assert skipped.record["tasks"]["pets"]["train"] == [
        f"train/{name}/{n}.png" for name, n in zip("aaabbb", (0, 2, 3, 0, 1, 3), strict=True)
    ]
    assert len(skipped.tasks[0].train) == 6
    (pets / "pets/test/a/copy.bmp").unlink()
    (pets / "pets/test/b/turned.tif").unlink()
    assert "another format" not in " ".join(folders(**options(pets)).notes)


def test_splits_made_here_are_told(pets: Path) -> None:
    shutil.move(pets / "pets/train", pets / "things")
    with Image.open(pets / "things/a/1.png") as picture:
        for n in range(9):
            picture.save(pets / f"things/a/copy{n}.{('bmp', 'tif', 'webp')[n % 3]}", lossless=True)
    said = " ".join(folders(path="things", data_root=str(pets)).notes)
    assert "in another format, e.g. " in said


def listed(pets: Path) -> Path:
    rows = ["image,kind,split"]
    for file in sorted((pets / "pets").rglob("*.*")):
        split, kind = file.parts[-3:-1]
        rows.append(f"{file.relative_to(pets).as_posix()},{kind},{split}")
    (pets / "t.csv").write_text("\n".join(rows) + "\n")
    return pets


def test_tables_name_the_rows(pets: Path) -> None:
    given: dict[str, Any] = {"path": "t.csv", "data_root": str(listed(pets))}
    with pytest.raises(ProblemsError) as refused:
        table(**given)
    assert "t.csv:13 (pets/train/a/1.png): pets/train/a/1.png' in train in another" in str(
        refused.value
    )
    said = " ".join(table(**given, duplicates="warn").notes)
    assert "2 pictures are in both train and test in another format" in said
    skipped = table(**given, skip_bad=True, validation_per_task=0)
    assert [len(skipped.tasks[0].train), len(skipped.tasks[0].test)] == [6, 10]


def test_a_picture_with_two_labels_is_told(pets: Path) -> None:
    shutil.copy(pets / "pets/train/a/1.png", pets / "pets/train/b/again.png")
    with Image.open(pets / "pets/train/a/2.png") as picture:
        picture.save(pets / "pets/train/b/again.bmp")
    given = options(pets, duplicates="warn")
    (said,) = [note for note in folders(**given).notes if "two labels" in note]
    assert said == (
        f"pets: 2 pictures have two labels, e.g. {pets}/pets/train/a/2.png is 'a' and "
        f"{pets}/pets/train/b/again.bmp is 'b'"
    )
    assert "two labels" not in " ".join(folders(**given | {"duplicates": "allow"}).notes)
    rows: dict[str, Any] = {"path": "t.csv", "data_root": str(listed(pets)), "duplicates": "warn"}
    said = " ".join(table(**rows).notes)
    assert "kind: 2 pictures have two labels, e.g. " in said


def test_pictures_of_other_tasks_are_told(pets: Path) -> None:
    shutil.rmtree(pets / "pets/test/a")
    shutil.rmtree(pets / "pets/test/b")
    for n in range(4):
        for name in "ab":
            draw(pets / f"pets/test/{name}/{n}.png", 50 + n + 10 * ord(name))
    (pets / "root").mkdir()
    shutil.move(pets / "pets", pets / "root/pets")
    for old, new in (("train", "test"), ("test", "train")):
        for name, other in zip("ab", "xy", strict=True):
            shutil.copytree(pets / "root/pets" / old / name, pets / "root/toys" / new / other)
    given: dict[str, Any] = {"path": "root", "data_root": str(pets), "validation_per_task": 0}
    said = " ".join(folders(**given).notes)
    assert "8 pictures in test of 'pets' are in train of 'toys', e.g. " in said
    assert "8 pictures in test of 'toys' are in train of 'pets', e.g. " in said
    assert "are in train of" not in " ".join(folders(**given, duplicates="allow").notes)


def test_arrays_of_other_tasks_are_told(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, 6, 6), np.uint8)
    labels = np.arange(12) % 2
    parts = {"train": slice(0, 8), "test": slice(8, 12)}
    arrays_of = {"greek": images[:12], "latin": np.concatenate([images[8:12], images[16:24]])}
    contents: dict[str, Any] = {
        f"{split}_{task}_{what}": values[part]
        for task, pictures in arrays_of.items()
        for split, part in parts.items()
        for what, values in (("images", pictures), ("labels", labels))
    }
    np.savez(tmp_path / "f.npz", **contents)
    said = " ".join(arrays(path="f.npz", data_root=str(tmp_path)).notes)
    assert "4 pictures in test of 'greek' are in train of 'latin', e.g. row 0 of 'greek'" in said
    assert "in test of 'latin'" not in said


def test_many_tasks_are_told_in_a_few_lines() -> None:
    contents: dict[str, Any] = {
        f"t{n}": {"train": [(b"%d" % n, f"a{n}")], "test": [(b"%d" % (n + 1), f"b{n}")]}
        for n in range(9)
    }
    lines = in_other_tasks(contents)
    assert len(lines) == 6
    assert lines[0] == "1 picture in test of 't0' is in train of 't1', e.g. b0 and a1"
    assert lines[-1] == "likewise 3 more tasks"
    assert in_other_tasks({"a": {"train": [(None, "x")]}, "b": {"test": [(None, "x")]}}) == []
