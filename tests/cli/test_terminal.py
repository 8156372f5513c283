"""What stands in a terminal: names as they are, whole at every width, and nothing that acts."""

import dataclasses
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress as Bar
from rich.text import Text
from support.command import status

from mtl_framework.runs.progress_line import ProgressLine
from mtl_framework.support.alive import alive
from mtl_framework.support.spreadsheets import csv_cell
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


@pytest.mark.parametrize("width", [120, 80, 60, 44])
def test_progress_is_one_line_with_name_and_steps_whole(width: int) -> None:
    console = PlainConsole(file=io.StringIO(), width=width, force_terminal=True)
    bar = Bar(ProgressLine(console), console=console)
    figures = ("loss 0.432", "222.6 it/s", "entropy 1.386")
    since = time.monotonic() - 47
    bar.add_task("a_strategy_of_my_own", total=20000, completed=7345, figures=figures, since=since)
    console.print(bar)
    lines = Text.from_ansi(console.file.getvalue()).plain.splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1
    assert cell_len(lines[0].rstrip()) <= width
    assert "a_strategy_of_my_own" in lines[0]
    assert " 7345/20000" in lines[0]
    assert ("this step 47 s" in lines[0]) == (width >= 60)
    assert ("entropy 1.386" in lines[0]) == (width >= 120)


def test_a_column_without_a_name_is_left_out_in_silence() -> None:
    columns = [Column("task"), Column("", importance=1)]
    text = printed(20, fitted_table(columns, [["the name of a task", "━━━━━━━━"]], 20))
    assert "left out" not in text


def test_where_metrics_differ_the_last_tasks_go_before_a_name_is_folded(tmp_path: Path) -> None:
    from support.synthetic_runs import make_runs

    from mtl_framework.reports.analysis import analyse
    from mtl_framework.reports.tables import analysis_table
    from mtl_framework.runs.records import make_groups

    records = make_runs(tmp_path, tasks=5, seeds=2)
    metrics = dict(zip(records[0].result.metrics, ("error %", "RMSE") * 3, strict=False))  # type: ignore[union-attr]
    mixed = [
        dataclasses.replace(r, result=dataclasses.replace(r.result, metrics=metrics))  # type: ignore[type-var]
        for r in records
    ]
    (group,) = make_groups(mixed)
    analysis = analyse(group)
    text = printed(60, analysis_table(analysis, 60))
    assert "left out, as the terminal is narrow" in text
    assert "armenian" in text.rpartition("left out")[2]
    for row in analysis.rows:
        assert f"{row.strategy} " in text
    assert all(cell_len(line) <= 60 for line in text.splitlines())


@pytest.mark.parametrize(("waited", "shown"), [(0.0, False), (3.0, True)])
def test_a_long_step_shows_that_it_is_alive(
    waited: float, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr("mtl_framework.support.alive.time.monotonic", lambda: clock[0])
    console = PlainConsole(file=io.StringIO(), width=60, force_terminal=True)
    with alive(console, "reading images"):
        clock[0] += waited
    assert ("reading images: 3 s" in console.file.getvalue()) == shown  # type: ignore[attr-defined]
    quiet = PlainConsole(file=io.StringIO(), width=60)
    with alive(quiet, "reading images"):
        clock[0] += 5
    assert quiet.file.getvalue() == ""  # type: ignore[attr-defined]


def test_slow_imports_show_that_they_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    @contextmanager
    def record(_: Console, text: str) -> Iterator[None]:
        shown.append(text)
        yield

    for command in ("console", "describe", "compare", "run"):
        monkeypatch.setattr(f"mtl_framework.cli.{command}.alive", record)
    assert status("describe", "--strategy", "recon") == 0
    assert shown == ["loading plugins", "loading what is described"]
    assert status("compare", "missing.yaml") == 2
    assert shown[2:4] == ["reading missing.yaml", "loading plugins"]
    assert status("run", "--strategy", "nobody") == 2
    assert shown[4:6] == ["loading plugins", "loading plugins"]
