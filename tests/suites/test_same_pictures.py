"""One picture in files of other formats, and in several tasks, is told with both names."""

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


def test_other_formats_are_told(pets: Path) -> None:
    given: dict[str, Any] = {"path": "pets", "data_root": str(pets), "validation_per_task": 0}
    said = " ".join(folders(**given).notes)
    assert "2 pictures are in both train and test with the same pixels in other files" in said
    assert f"{pets}/pets/train/a/1.png and {pets}/pets/test/a/copy.bmp" in said
    assert "same pixels" in " ".join(folders(**given, size=6, duplicates="warn").notes)
    assert "same pixels" not in " ".join(folders(**given, duplicates="allow").notes)
    (pets / "pets/test/a/copy.bmp").unlink()
    (pets / "pets/test/b/turned.tif").unlink()
    assert "same pixels" not in " ".join(folders(**given).notes)


def test_tables_tell_them_with_their_rows(pets: Path) -> None:
    rows = ["image,kind,split"]
    for file in sorted((pets / "pets").rglob("*.*")):
        split, kind = file.parts[-3:-1]
        rows.append(f"{file.relative_to(pets).as_posix()},{kind},{split}")
    (pets / "t.csv").write_text("\n".join(rows) + "\n")
    said = " ".join(table(path="t.csv", data_root=str(pets)).notes)
    assert "2 pictures are in both train and test with the same pixels" in said
    assert "t.csv:13 (pets/train/a/1.png): pets/train/a/1.png and " in said


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
