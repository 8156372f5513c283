"""Names with commas can be said on the command line, as they are or in quotes."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from mtl_suites.folders import folders
from mtl_suites.options import rejoined
from mtl_suites.table import table
from PIL import Image

from mtl_framework.runs.settings import parse_setting
from mtl_framework.support.arguments import check_arguments
from mtl_framework.support.errors import MtlError

TEXT = st.text(st.sampled_from("ab ,.'x"), min_size=1, max_size=6).map(str.strip).filter(bool)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    rows = ['image,"a,b","c, d",e']
    for n in range(24):
        Image.fromarray(np.full((6, 6, 3), 10 * n, np.uint8)).save(tmp_path / f"{n}.png")
        rows.append(f"{n}.png,{'pq'[n % 2]},{'rs'[n % 2]},{n % 2}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"a,b"', ("a,b",)),
        ("a,b", ("a,b",)),
        ("'a,b',e", ("a,b", "e")),
        ("e,'a,b'", ("e", "a,b")),
        ("""'"a,b",e'""", ("a,b", "e")),
        ("['a,b', e]", ("a,b", "e")),
        ("a,b,c, d,e", ("a,b", "c, d", "e")),
    ],
)
def test_columns(pets: Path, text: str, names: tuple[str, ...]) -> None:
    setting = parse_setting(f"suite.tasks={text}")
    given = {"path": "t.csv", "data_root": str(pets), "tasks": setting.value}
    suite = table(**check_arguments(table, given, ("suite",)))
    assert suite.task_names == names


def test_parts_of_a_name_alone_are_unknown(pets: Path) -> None:
    with pytest.raises(MtlError, match="'a'; did you mean 'a,b'"):
        table(path="t.csv", data_root=str(pets), tasks=["a", "e"])


def test_folders(pets: Path) -> None:
    for task in ("cats, dogs", "eels"):
        for n, name in enumerate("xy"):
            for k in range(4):
                path = pets / "root" / task / name / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((6, 6), 40 * n + k + len(task), np.uint8)).save(path)
    given: dict[str, Any] = {"path": "root", "data_root": str(pets), "tasks": "cats, dogs"}
    suite = folders(**check_arguments(folders, given, ("suite",)))
    assert suite.task_names == ("cats, dogs",)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4, unique=True))
def test_known_names_come_back(names: list[str]) -> None:
    assert parse_setting("a=" + str(names)).value == names
    text = ",".join(f'"{name}"' for name in names)
    value = parse_setting(f"a={text}").value
    assert (value if isinstance(value, list) else [value]) == names
    parts = [part.strip() for name in names for part in name.split(",")]
    assert rejoined(names, names) == names
    assert set(rejoined(parts, [*names, *parts])) == set(parts)
