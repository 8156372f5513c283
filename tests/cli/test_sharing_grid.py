"""The grid of who shares with whom, in a terminal."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from mtl_framework.cli.summary import sharing_grid
from mtl_framework.networks.result import Assignment
from mtl_framework.networks.result_view import by_appearance


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def grid(assignment: Assignment, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(sharing_grid(assignment, width))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_grid_shows_who_shares_with_whom() -> None:
    weights = ((2, 2, 0), (0, 1, 0))
    lines = grid(Assignment(("low", "higher"), ("a", "b", "c"), weights))
    assert lines[1:] == ["        1  2  3", "   low  A  A  B", "higher  A  B  A"]


def test_wide_grids_are_narrowed_then_continued_below() -> None:
    tasks = tuple(f"t{n}" for n in range(70))
    units = ("a.very.long.name.of.a.unit.somewhere",)
    lines = grid(Assignment(units, tasks, (tuple(range(70)),)), width=60)
    assert all(len(line) <= 60 for line in lines)
    cells = [line.split()[-1] for line in lines if line.startswith("…")]
    assert [len(cell) for cell in cells] == [39, 31]
    assert "".join(cells)[:28] == "ABCDEFGHIJKLMNOPQRSTUVWXYZab"


def test_neighbouring_weights_differ_in_colour_and_letter() -> None:
    assert by_appearance((7, 3, 7, 9, 3)) == [0, 1, 0, 2, 1]
    console = Console(width=80, color_system="truecolor", force_terminal=True)
    with console.capture() as captured:
        console.print(sharing_grid(Assignment(("u",), tuple("abcdefgh"), (tuple(range(8)),)), 80))
    colours = re.findall(r"48;2;(\d+;\d+;\d+)m", captured.get())
    assert len(set(colours)) == 8
