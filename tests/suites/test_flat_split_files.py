"""Files that name the classes of a flat split's pictures: their columns and encodings."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mtl_suites.folders import folders
from mtl_suites.table import table
from PIL import Image

from mtl_framework.support.errors import MtlError


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    places = [f"train/{name}" for name in ("0", "1")] + ["val/images"]
    for number, place in enumerate(places):
        (tmp_path / "pets" / place).mkdir(parents=True)
        for n in range(8):
            pixels = np.full((6, 6), 8 * number + n, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / place / f"{n}.png")
    return tmp_path


def labels(root: Path) -> list[int]:
    (task,) = folders(path="pets", data_root=str(root)).tasks
    assert task.validation is not None
    return task.validation.targets.tolist()


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("filename,class", lambda n: f"{n}.png,{n % 2}"),
        ("class,filename", lambda n: f"{n % 2},{n}.png"),
        ("id,filename,class", lambda n: f"{n + 100},{n}.png,{n % 2}"),
        ("filename,width,Label", lambda n: f"{n}.png,16,{n % 2}"),
        ("file;category", lambda n: f"val/images/{n}.png;{n % 2}"),
        ("", lambda n: f"{n}.png\t{n % 2}\t0\t0\t5\t5"),
        ("", lambda n: f"{n % 2},{n}.png"),
        ("File,Class", lambda n: f"VAL\\Images\\{n}.PNG,{n % 2}"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_columns_are_found(
    pets: Path, header: str, line: Callable[[int], str], encoding: str
) -> None:
    rows = [*([header] if header else []), *(line(n) for n in range(8))]
    (pets / "pets/val/labels.csv").write_text("\n".join(rows) + "\n", encoding)
    assert labels(pets) == [n % 2 for n in range(8)]


def test_capitals_of_names_are_told(pets: Path) -> None:
    for n in (6, 7):
        (pets / f"pets/val/images/{n}.png").rename(pets / f"pets/val/images/{n}.JPG")
    names = [*(f"{n}.png" for n in range(6)), "6.jpg", "7.Jpg"]
    rows = ["file,class", *(f"{name},{n % 2}" for n, name in enumerate(names))]
    (pets / "pets/val/labels.csv").write_text("\n".join(rows))
    suite = folders(path="pets", data_root=str(pets))
    assert suite.tasks[0].validation is not None
    assert suite.tasks[0].validation.targets.tolist() == [n % 2 for n in range(8)]
    assert "labels.csv: 2 names of pictures that differ in capitals" in " ".join(suite.notes)


def test_columns_that_may_all_be_classes_are_refused(pets: Path) -> None:
    rows = ["filename,width,kind", *(f"{n}.png,16,{n % 2}" for n in range(8))]
    (pets / "pets/val/labels.csv").write_text("\n".join(rows))
    with pytest.raises(MtlError, match="columns filename, width, kind, of which it is not known"):
        labels(pets)


def test_splits_of_a_table_have_remedies(pets: Path) -> None:
    names = ["train", "test", ""]
    rows = ["image,split,y", *(f"pets/val/images/{n}.png,{names[n % 3]},{n % 2}" for n in range(8))]
    (pets / "t.csv").write_text("\n".join(rows))
    with pytest.raises(MtlError, match=r"'split' is empty; write train, validation or test, or le"):
        table(path="t.csv", data_root=str(pets))
    numbers = [row.replace("train", "0").replace("test", "1") for row in rows]
    (pets / "t.csv").write_text("\n".join(numbers))
    with pytest.raises(MtlError, match=r"unknown split '0' .*with suite\.split= \(empty\)"):
        table(path="t.csv", data_root=str(pets))
    assert table(path="t.csv", data_root=str(pets), split=None, tasks=["y"]).task_names == ("y",)
