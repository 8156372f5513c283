"""Decimal commas are read as decimal points are, and marks between thousands are told."""

from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from mtl_suites.columns import parse_column
from mtl_suites.decimals import has_decimal_commas, swapped, thousands
from mtl_suites.faults import Faults
from mtl_suites.kinds import guess_column
from mtl_suites.table import table
from PIL import Image

from mtl_framework.data.tasks import Classification, Regression, Suite
from mtl_framework.support.errors import ProblemsError

ROWS = 24


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marks")
    for n in range(ROWS):
        Image.fromarray(np.full((4, 4, 3), 9 * n, np.uint8)).save(folder / f"{n}.png")
    return folder


def read(folder: Path, cell: Callable[[int], str], **options: object) -> Suite:
    text = "".join(f"{n}.png;{cell(n)}\n" for n in range(ROWS))
    (folder / "t.csv").write_text(f"image;w\n{text}")
    return table(**{"path": "t.csv", "data_root": str(folder), **options})  # type: ignore[arg-type]


def refused(folder: Path, cell: Callable[[int], str], **options: object) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        read(folder, cell, **options)
    return list(caught.value.problems)[1:]


@pytest.mark.parametrize("kinds", [{}, {"w": "numbers"}])
@pytest.mark.parametrize(("odd", "every"), [("k.A.", 6), ("x", ROWS)])
def test_cells_that_are_no_number_are_refused_alike_with_both_marks(
    pictures: Path, kinds: dict[str, str], odd: str, every: int
) -> None:
    def cells(mark: str) -> Callable[[int], str]:
        return lambda n: odd if n % every == 3 else f"{n}{mark}{n % 7}"

    points, commas = (refused(pictures, cells(mark), kinds=kinds) for mark in ".,")
    assert commas == points
    assert all(f"found {odd!r}; where" in line for line in commas)
    suites = [read(pictures, cells(mark), kinds=kinds, missing=[odd]) for mark in ".,"]
    assert suites[0].tasks[0].objective == suites[1].tasks[0].objective
    assert isinstance(suites[1].tasks[0].objective, Regression)
    assert suites[0].tasks[0].train.targets.equal(suites[1].tasks[0].train.targets)


DIGITS = st.text(st.sampled_from("0123456789"), min_size=1, max_size=4)
DECIMALS = st.builds(
    lambda sign, whole, mark, part, power: f"{sign}{whole}{mark}{part}{power}",
    st.sampled_from(["", "-", "+"]), DIGITS, st.sampled_from(["", "."]), DIGITS,
    st.sampled_from(["", "", "e-3", "E+02"]),
)  # fmt: skip


@given(st.lists(DECIMALS | st.sampled_from(["k.A.", "none", "x"]), min_size=1, max_size=30))
def test_columns_with_commas_are_guessed_and_read_as_those_with_points(points: list[str]) -> None:
    commas = [swapped(cell) for cell in points]
    assert [swapped(cell) for cell in commas] == points
    told = any("," in cell for cell in commas)
    assert has_decimal_commas(commas) == told
    assert not has_decimal_commas(points)
    assert guess_column("w", commas, told).kind == guess_column("w", points).kind
    found = []
    for cells, by_comma in ((points, False), (commas, told)):
        faults = Faults("table", skip=True)
        present = np.ones(len(cells), bool)
        places = [str(n) for n in range(len(cells))]
        values, known = parse_column("w", cells, present, "numbers", places, faults, by_comma)
        found.append((values.tolist(), known.tolist(), len(faults.found)))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("cells", "commas"),
    [
        (["7,1", "7,2", "7.3"], True),
        (["7.1", "7.2", "7,3"], False),
        (["1.234", "2.345", "950,5"], True),  # the points stand between thousands
        (["1,234", "2,345", "950.5"], False),
        (["1,234", "950"], True),
        (["1.234", "950"], False),
        (["red", "3"], False),
    ],
)
def test_most_numbers_say_which_mark_decimals_have(cells: list[str], commas: bool) -> None:
    assert has_decimal_commas(cells) is commas


def test_a_number_with_the_other_mark_is_refused_with_what_to_do(pictures: Path) -> None:
    (line,) = refused(pictures, lambda n: f"{n}.5" if n == 5 else f"{n},5")
    assert "t.csv:7 (5.png): column 'w' should hold a number, found '5.5'; write all dec" in line
    (line,) = refused(pictures, lambda n: "1.234,5" if n == 5 else f"{n},5")
    assert "found '1.234,5'; write numbers without signs, units and thousands; where" in line


@pytest.mark.parametrize(
    ("cells", "commas", "line"),
    [
        (["900", "999", "1.002", "1.167"], False, "w: 1.002 is read as 1.002; for 1002, write"),
        (["1.234", "2.345"], False, "w: 1.234 is read as 1.234; for 1234, write it so"),
        (["-900", "1,050", "2"], True, "w: 1,050 is read as 1.05; for 1050, write it so"),
        (["1.002.300", "1.002"], False, "w: 1.002 is read as 1.002"),
        (["012.345"], False, "for 012345"),
        (["0.000", "0.125", "1.250"], False, ""),
        (["0.000"], False, ""),
        (["1.002", "3.5"], False, ""),
        (["1.002", "1200"], False, ""),
        (["900", "950"], False, ""),
        (["1.002"], True, ""),
    ],
)
def test_marks_that_may_stand_between_thousands(cells: list[str], commas: bool, line: str) -> None:
    told = thousands("w", cells, commas)
    assert line in "".join(told)
    assert bool(told) == bool(line)


def test_thousands_are_told_by_a_table_also_where_the_kind_is_given(pictures: Path) -> None:
    for mark in ".,":
        for kinds in ({}, {"w": "numbers"}):
            cells = [f"{990 + n:,}".replace(",", mark) for n in range(ROWS)]
            suite = read(pictures, cells.__getitem__, kinds=kinds)
            assert f"w: 1{mark}000 is read as 1; for 1000, write it so" in suite.notes


def test_texts_stay_as_they_are_written(pictures: Path) -> None:
    texts = ("1,5", "2,5", "high", "long", "small", "wide")
    suite = read(pictures, lambda n: texts[n % 6])
    assert suite.tasks[0].objective == Classification(6, texts)
    found = guess_column("w", [*["1,5"] * 6, "2,5", "5.5", "a", "b", "c"], True)
    assert "64% of its cells are numbers, but '5.5' may be a name: taken as cl" in found.remark
    found = guess_column("w", ["1,5", "1.234", "1.234"], True)
    assert "column 'w' holds texts such as '1.234': write numbers without signs" in found.remark
