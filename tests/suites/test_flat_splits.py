"""Splits whose pictures lie in one folder, with their classes in files beside them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mtl_suites.folders import folders
from PIL import Image

from mtl_framework.data.tasks import Classification, Suite
from mtl_framework.support.errors import MtlError

CLASSES = ("n01", "n02", "n03")


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 6, 3), number, np.uint8)).save(path, format="PNG")


def train(root: Path, between: str = "") -> None:
    """Nine pictures a class, and a file that is no picture beside those of every class."""
    for n in range(27):
        draw(root / "train" / CLASSES[n % 3] / between / f"{CLASSES[n % 3]}_{n}.JPEG", n)
    for name in CLASSES:
        (root / "train" / name / f"{name}_boxes.txt").write_text("0")


def tiny(folder: Path) -> Path:
    """As Tiny ImageNet is distributed."""
    root = folder / "tiny-imagenet-200"
    train(root, "images")
    for n in range(6):
        draw(root / "val" / "images" / f"val_{n}.JPEG", 100 + n)
        draw(root / "test" / "images" / f"test_{n}.JPEG", 200 + n)
    lines = [f"val_{n}.JPEG\t{CLASSES[n // 2]}\t0\t32\t44\t62" for n in range(6)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines))
    (root / "wnids.txt").write_text("\n".join(CLASSES))
    return root


def imagenet(folder: Path) -> Path:
    """As Kaggle distributes ImageNet: notes on every picture, and a table of solutions."""
    root = folder / "ILSVRC"
    data = root / "Data" / "CLS-LOC"
    train(data)
    notes = root / "Annotations" / "CLS-LOC" / "val"
    notes.mkdir(parents=True)
    for n in range(6):
        draw(data / "val" / f"ILSVRC2012_val_{n}.JPEG", 100 + n)
        draw(data / "test" / f"ILSVRC2012_test_{n}.JPEG", 200 + n)
        thing = f"<object>\n<name>{CLASSES[n // 2]}</name><bndbox/></object>"
        (notes / f"ILSVRC2012_val_{n}.xml").write_text(
            f"<annotation><folder>val</folder>{thing * 2}"
        )
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "val.txt").write_text("ILSVRC2012_val_0 1")
    return root


def solved(folder: Path) -> Path:
    """The same with the table of solutions alone."""
    root = imagenet(folder)
    for file in (root / "Annotations").rglob("*.xml"):
        file.unlink()
    lines = [f"ILSVRC2012_val_{n},{CLASSES[n // 2]} 85 1 499 272 " for n in range(6)]
    (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]))
    return root


def by_class(suite: Suite) -> dict[str, list[int]]:
    (task,) = suite.tasks
    assert isinstance(task.objective, Classification)
    assert task.objective.class_names == CLASSES
    assert task.validation is not None
    found: dict[str, list[int]] = {name: [] for name in CLASSES}
    images, labels = task.validation.inputs[:, 0, 0, 0], task.validation.targets  # type: ignore[index]
    for brightness, label in zip(images.tolist(), labels.tolist(), strict=True):
        found[CLASSES[label]].append(brightness)
    return found


@pytest.mark.parametrize("make", [tiny, imagenet, solved])
@pytest.mark.parametrize("upwards", [0, 1, 2])
def test_classes_of_flat_splits_are_read(
    tmp_path: Path, make: Callable[[Path], Path], upwards: int
) -> None:
    root = make(tmp_path / "data")
    below = (root if make is tiny else root / "Data" / "CLS-LOC").relative_to(tmp_path)
    path = Path(*below.parts[: max(1, len(below.parts) - upwards)])
    suite = folders(path=str(path), data_root=str(tmp_path))
    assert suite.task_names == (root.name if make is tiny else "CLS-LOC",)
    assert by_class(suite) == {"n01": [100, 101], "n02": [102, 103], "n03": [104, 105]}
    assert {split: len(x) for split, x in suite.tasks[0].splits().items()} == {
        "train": 22, "validation": 6, "test": 5,
    }  # fmt: skip
    told = "\n".join(suite.notes)
    assert "/val are those in " in told
    assert "test, whose classes are not known: 6" in told
    assert ".txt: not a kind of image that is read: 3" in told
    if upwards == 2 and make is not tiny:
        assert "ILSVRC holds pictures in nothing but " in told


def rewrite(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def done(root: Path) -> None:
        file = root / "val" / "val_annotations.txt"
        file.write_text("\n".join(change(file.read_text().splitlines())))

    return done


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (rewrite(lambda rows: rows[:4]), r"val_5\.JPEG: has no class in .*val_annotations\.txt"),
        (rewrite(lambda rows: [*rows, "x.JPEG\tn01"]), r"names 'x\.JPEG', which is no picture of"),
        (rewrite(lambda rows: [*rows, rows[0]]), r":7 names val_0\.JPEG again, as line 1 does"),
        (rewrite(lambda rows: [rows[0], "val_1.JPEG"]), r":2 should have a picture and its class"),
        (
            rewrite(lambda rows: [row.replace("n03", "n04") for row in rows]),
            "class 'n04' is not in train",
        ),
        (
            lambda root: (root / "val" / "val_annotations.txt").unlink(),
            "but 6 pictures, whose classes are not known",
        ),
        (
            lambda root: (root / "val" / "labels.csv").write_text("val_0,n01"),
            r"labels\.csv and val_annotations\.txt may both name the classes",
        ),
        (
            lambda root: (root / "val" / "val_annotations.txt").write_bytes(b"\xff\xff"),
            r"val_annotations\.txt is not in UTF-8; save it so",
        ),
    ],
)
def test_files_of_classes_that_do_not_fit_are_refused(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(tiny(tmp_path))
    with pytest.raises(MtlError, match=message):
        folders(path="tiny-imagenet-200", data_root=str(tmp_path))


def test_pictures_without_a_class_can_be_left_out(tmp_path: Path) -> None:
    rewrite(lambda rows: rows[1:])(tiny(tmp_path))
    suite = folders(path="tiny-imagenet-200", data_root=str(tmp_path), skip_bad=True)
    assert by_class(suite)["n01"] == [101]
    assert "val_0.JPEG: has no class in" in "\n".join(suite.record["left_out"])
