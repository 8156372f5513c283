"""Paths that another computer wrote into a table are those of files here, with a line."""

import random
from pathlib import Path, PureWindowsPath
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from mtl_suites.row_paths import resolved
from mtl_suites.table import table
from PIL import Image

from mtl_framework.support.errors import MtlError

FILES = [f"Img/Set A/{n}.png" for n in range(12)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("paths")
    (root / "Img/Set A").mkdir(parents=True)
    for n, file in enumerate(FILES):
        Image.fromarray(np.full((4, 4, 3), 20 * n, np.uint8)).save(root / file)
    return root


def written(root: Path, cells: list[str], **options: Any) -> Any:
    rows = ["image,kind", *(f'"{cell}",{"ab"[n % 2]}' for n, cell in enumerate(cells))]
    (root / "t.csv").write_text("\n".join(rows) + "\n")
    return table(path="t.csv", data_root=str(root), **options)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=st.sampled_from(
        ["", "./", "C:/data/", "C:/Users/Me/x y/", "/home/me/", "//server/d/", "file:///a/", "~/b/"]
    ),
    windows=st.booleans(),
    capitals=st.sampled_from([str, str.upper, str.lower, str.title]),
    suffix=st.booleans(),
    seed=st.integers(0, 99),
)
def test_paths_of_all_kinds_are_the_same_files(
    pictures: Path, start: str, windows: bool, capitals: Any, suffix: bool, seed: int
) -> None:
    if capitals is not str and not suffix:
        return  # a folder in other capitals is not looked into for suffixes
    cells = [start + capitals(file if suffix else file.removesuffix(".png")) for file in FILES]
    if windows:
        cells = [str(PureWindowsPath(cell)) for cell in cells]
    random.Random(seed).shuffle(cells)
    found, told = resolved(cells, pictures)
    places = [str(Path(path)).rpartition("/")[2] for path in found]
    assert sorted(places) == sorted(file.rpartition("/")[2] for file in FILES)
    assert all((pictures / path).is_file() for path in found)
    assert bool(told) == any(path != cell for path, cell in zip(found, cells, strict=True))


def test_a_table_of_another_computer_is_read_with_lines(pictures: Path) -> None:
    suite = written(pictures, [str(PureWindowsPath("C:/me", file)) for file in FILES])
    said = " ".join(suite.notes)
    assert "paths that begin with 'C:/me/' are read without that: 12" in said
    assert sorted(suite.tasks[0].test.names or ())[0].startswith("Img/Set A/")
    said = " ".join(written(pictures, [file.upper() for file in FILES]).notes)
    assert "for capitals or the code of letters, e.g. 'IMG/SET A/0.PNG' for 'Img/Set A/0" in said


def test_an_accent_may_be_a_letter_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "caf\u00e9.png").write_bytes(b"")
    found, told = resolved(["cafe\u0301.png"], tmp_path)
    assert found == ["caf\u00e9.png"]
    assert r"'cafe\u0301.png' for 'caf\xe9.png': 1" in told[0]


def test_what_fits_no_file_or_two_stays(pictures: Path) -> None:
    (pictures / "Img/Set A/0.PNG").write_bytes(b"")
    try:
        cells = ["img/set a/0.Png", "C:/elsewhere/0.png", "x" * 300, "a\0b", ""]
        assert resolved(cells, pictures) == (cells, ())
    finally:
        (pictures / "Img/Set A/0.PNG").unlink()
    with pytest.raises(MtlError, match=r"t\.csv:2: C:/elsewhere/0\.png: there is no image"):
        written(pictures, ["C:/elsewhere/0.png", *FILES[1:]])
