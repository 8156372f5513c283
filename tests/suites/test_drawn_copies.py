"""Whatever a copy of a picture looks like, it is found in another split, and nothing else is."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from mtl_suites.folders import folders
from mtl_suites.table import table
from PIL import Image

from mtl_framework.data.tasks import Suite
from mtl_framework.support.errors import ProblemsError

SPLITS = {"train": 4, "validation": 3, "test": 3}


def pictures(root: Path) -> None:
    for number, (split, count) in enumerate(SPLITS.items()):
        for place, name in enumerate("ab"):
            (root / split / name).mkdir(parents=True)
            for n in range(count):
                pixels = np.full((4, 4, 3), 40 * number + 20 * place + n, np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{n}.png")


def copied(source: Path, folder: Path, how: str) -> None:
    """Copy a picture into a folder: bytes, a link, or its pixels in another format."""
    if how == "bytes":
        shutil.copy(source, folder / "copy.PNG")
    elif how == "link":
        (folder / "link.png").symlink_to(source)
    elif how == "hard link":
        (folder / "hard.png").hardlink_to(source)
    else:
        with Image.open(source) as picture:
            lossless: dict[str, Any] = {"lossless": True} if how == ".webp" else {}
            picture.save(folder / f"other{how}", **lossless)


def read(root: Path, as_table: bool, **options: Any) -> Suite:
    if not as_table:
        return folders(path=str(root), **options)
    files = sorted(file for file in root.rglob("*.*") if file.name != "t.csv")
    rows = [f"{f.relative_to(root)},{f.parts[-3]},{f.parts[-2]}" for f in files]
    (root / "t.csv").write_text("\n".join(["image,split,kind", *rows]) + "\n")
    return table(path="t.csv", data_root=str(root), **options)


@pytest.mark.long
@settings(max_examples=40, deadline=None)
@given(
    how=st.sampled_from(["bytes", "link", "hard link", ".bmp", ".tif", ".webp", ".ppm", ".tga"]),
    splits=st.permutations(list(SPLITS)).map(lambda order: (order[0], order[1])),
    same_class=st.booleans(),
    as_table=st.booleans(),
    policy=st.sampled_from(["refuse", "warn", "allow"]),
)
def test_copies_follow_the_option(
    how: str, splits: tuple[str, str], same_class: bool, as_table: bool, policy: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "pets"
        pictures(root)
        there = root / splits[1] / ("a" if same_class else "b")
        copied(root / splits[0] / "a/0.png", there, how)
        leaks = set(splits) == {"train", "test"}
        if policy == "refuse" and leaks:
            with pytest.raises(ProblemsError, match="is the same picture in test as "):
                read(root, as_table, duplicates=policy)
            kept = read(root, as_table, duplicates=policy, skip_bad=True)
            assert len(kept.tasks[0].train) == 2 * SPLITS["train"] - (splits[0] == "train")
            return
        suite = read(root, as_table, duplicates=policy)
        said = " ".join(suite.notes)
        assert ("1 picture is in both" in said) == (policy != "allow")
        assert ("two labels" in said) == (policy != "allow" and not same_class)


@settings(max_examples=15, deadline=None)
@given(suffix=st.sampled_from([".png", ".bmp", ".tif", ".ppm"]), as_table=st.booleans())
def test_pictures_that_differ_in_a_pixel_are_no_copies(suffix: str, as_table: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "pets"
        pictures(root)
        with Image.open(root / "train/a/0.png") as picture:
            picture.putpixel((3, 3), (1, 2, 3))
            picture.save(root / f"test/a/other{suffix}")
        assert "in both" not in " ".join(read(root, as_table).notes)
