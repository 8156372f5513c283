"""Suites of files say what these hold, so that a run notices changed pictures of the same name."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mtl_suites.file_contents import FileContents
from mtl_suites.folders import folders
from PIL import Image
from support.tables import read, rows, write

from mtl_framework.data.tasks import Suite


def of_folders(root: Path, check: bool) -> Callable[[], Suite]:
    for split in ("train", "test"):
        for number, name in enumerate(("a", "b")):
            for n in range(3):
                path = root / "set" / split / name / f"{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                level = 100 * (split == "test") + 50 * number + n
                Image.fromarray(np.full((4, 4), level, np.uint8)).save(path)
    options = {"validation_per_task": 0, "check_images": check}
    return lambda: folders(path="set", data_root=str(root), **options)  # type: ignore[arg-type]


def of_table(root: Path, check: bool) -> Callable[[], Suite]:
    write(root, rows(20))
    return lambda: read(root, check_images=check)


@pytest.mark.parametrize("make", [of_folders, of_table])
def test_what_a_picture_holds_is_told_by_all_its_bytes_or_by_its_size(
    tmp_path: Path, make: Callable[[Path, bool], Callable[[], Suite]]
) -> None:
    build = make(tmp_path, True)
    by_sizes = make(tmp_path, False)
    test = build().tasks[0].test
    assert test.names is not None
    assert test.contents is not None
    file = tmp_path / ("set" if make is of_folders else ".") / test.names[1]
    digest = hashlib.blake2b(file.read_bytes()).hexdigest()[:32]
    assert test.contents[1] == digest
    assert by_sizes().tasks[0].test.contents is not None
    sizes = by_sizes().tasks[0].test.contents or ()
    data = bytearray(file.read_bytes())
    with Image.open(file) as picture:
        size = picture.size
    Image.new("RGB", size, "red").save(file)
    again = build().tasks[0].test
    assert again.names == test.names
    assert [a == b for a, b in zip(again.contents or (), test.contents, strict=True)] == [
        n != 1 for n in range(len(test.contents))
    ]
    file.write_bytes(data)
    assert build().tasks[0].test.contents == test.contents
    with file.open("ab") as end:
        end.write(b"one more")
    assert [
        a == b for a, b in zip(by_sizes().tasks[0].test.contents or (), sizes, strict=True)
    ] == [n != 1 for n in range(len(test.contents))]


def test_a_file_is_read_once_and_one_that_is_gone_says_nothing(tmp_path: Path) -> None:
    contents = FileContents()
    (tmp_path / "a").write_bytes(b"first")
    told = contents.described([tmp_path / "a", tmp_path / "b"], whole=True)
    assert told[1] == ""
    (tmp_path / "a").write_bytes(b"second")
    assert contents.described([tmp_path / "a", tmp_path / "b"], whole=True) == told
    assert FileContents().described([tmp_path / "a"], whole=True) != told[:1]
    assert contents.described([tmp_path / "a", tmp_path / "\0"], whole=False) == [
        "6 bytes", "-1 bytes",
    ]  # fmt: skip
