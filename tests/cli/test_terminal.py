"""What stands in a terminal: names as they are, whole at every width, and nothing that acts."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from mtl_framework.comparisons.files import csv_cell
from mtl_framework.support.terminal import Column, PlainConsole, fitted_table

NAMES = ["weight [kg]", "[/]", "[bold]x[/bold]", ":smile:", "عمر المريض", "😀 {a}", "a" * 60]
COLUMNS = [
    Column("#", right=True, importance=3),
    Column("task"),
    Column("validation error %", right=True, importance=2),
    Column("test error %", right=True),
]


def printed(width: int, *things: object, **options: Any) -> str:
    file = io.StringIO()
    PlainConsole(file=file, width=width, **options).print(*things)
    return file.getvalue()


def table(width: int, names: list[str]) -> str:
    rows = [[str(n), name, f"{n}.25", f"{n}.50"] for n, name in enumerate(names)]
    return printed(width, fitted_table(COLUMNS, rows, width))


@pytest.mark.parametrize("width", [120, 80, 60])
def test_names_are_whole_where_they_can_be(width: int) -> None:
    names = NAMES if width > 80 else NAMES[:-1]
    text = table(width, names)
    for name in names:
        assert name in text
    for number in range(len(names)):
        assert f"{number}.50" in text
    assert all(cell_len(line) <= width for line in text.splitlines())


def test_less_important_columns_go_first_and_are_named() -> None:
    narrow = table(53, ["the name of a task"])
    assert "validation error %" in narrow.splitlines()[0]
    assert "left out, as the terminal is narrow: #" in narrow
    narrower = table(36, ["the name of a task"])
    assert "validation" not in narrower.splitlines()[0]
    assert "the name of a task  " in narrower
    assert "0.50" in narrower


def test_what_does_not_fit_at_all_is_folded_not_cut() -> None:
    text = table(30, ["abcdefghij" * 6])
    letters = "".join(set(text) & set("abcdefghij"))
    assert len(letters) == 10
    assert sum(text.count(letter) for letter in "bcdfghij") >= 6 * 8


@pytest.mark.parametrize(
    "odd", ["\x1b[31mred", "\x1b]0;title\x07", "a\rb", "\x9b2J", "\u202egnp.x", "\b"]
)
def test_control_characters_are_written_out(odd: str) -> None:
    for text in (
        printed(200, odd, force_terminal=True, color_system=None),
        printed(200, Text(odd), force_terminal=True, color_system=None),
        printed(200, fitted_table([Column(odd)], [[odd]], 200), color_system=None),
    ):
        assert not set(text) & set("\x1b\x07\r\x9b\u202e\b")


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_no_spreadsheet_takes_a_name_for_a_formula(name: str) -> None:
    cell = csv_cell(name)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell.removeprefix("'") == name.removeprefix("'")
    assert csv_cell(-0.5) == -0.5
