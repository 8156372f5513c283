"""What a column of a table is taken for, and what its cells say."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from mtl_suites.columns import parse_column
from mtl_suites.faults import Faults
from mtl_suites.kinds import guess_column
from mtl_suites.missing import Missing
from support.tables import KINDS, read, rows, write

from mtl_framework.data.tasks import Binary, Classification, Regression


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["0", "1", "1"], "binary"),
        (["true", "False"], "binary"),
        (["1.0", "0.0"], "binary"),
        (["0", "1", "2"] * 3, "classes"),
        (["3.0", "4.0"] * 3, "classes"),
        (["red", "1", "2.5"], "classes"),
        (["0.5", "1", "2"], "numbers"),
        (["1e-05", "2.5e-04"], "numbers"),
        (["12.00", "13.00", "15.00"], "numbers"),
        ([*(["0.5"] * 19), "unknown"], "numbers"),
        (["a.png", "b.png"], "classes"),
        # codes
        (["00", "01", "0", "1"], "classes"),
        (["1e3", "1000", "5"], "classes"),
        (["1_0", "10"], "classes"),
        (["007.5", "8.5"], "classes"),
        ([f"{n}.25e+05" for n in range(1, 10)], "numbers"),
        # whole numbers: few, or without a gap, and with several rows each
        ([str(n) for n in range(50)] * 2, "classes"),
        ([str(2 * n) for n in range(50)] * 2, "numbers"),
        ([str(20 + n % 35) for n in range(40)], "numbers"),
        ([str(5 * n) for n in range(12)] * 2, "classes"),
        # nothing that can be a task
        (["2024-01-31", "2023-12-24 18:00"], None),
        (["31.01.2024", "1.2.2024"], None),
        ([str(n) for n in range(30)], None),
        ([str(n) for n in range(1, 31)], None),
        ([f"patient {n}" for n in range(12)], None),
    ],
)
def test_kinds_of_columns(cells: list[str], kind: str | None) -> None:
    assert guess_column("x", cells).kind == kind


@pytest.mark.parametrize(
    ("name", "cells", "remark"),
    [
        ("age", [str(n) for n in range(10, 22)] * 3, "12 different whole numbers in 36 rows: "
         "taken as classes; suite.kinds.age=numbers takes them as numbers"),
        ("age", [str(n) for n in range(20, 55)], "taken as numbers; suite.kinds.age=classes"),
        ("a.b", [str(n) for n in range(20, 55)], 'suite.kinds."a.b"=classes'),
        ("size", ["1.5", "2.5", "wide"], "67% of its cells are numbers, but 'wide' may be a name"),
        ("code", ["01", "10"], "'01' may be a name: taken as classes"),
        ("Unnamed: 0", ["3", "3"], "is an index of rows: left out"),
        ("", ["red", "blue"], "column '' has no name: left out; write a name"),
        ("day", ["2024-01-31"], r"holds dates (e.g. 2024-01-31): left out"),
        ("digit", ["0", "1", "2"] * 3, ""),
    ],
)  # fmt: skip
def test_guesses_near_the_line_say_so(name: str, cells: list[str], remark: str) -> None:
    found = guess_column(name, cells).remark
    assert remark in found
    assert bool(found) == bool(remark)


MARKS = ("nan", "NaN", "NA", "N/A", "n/a", "null", "NULL", "None", "none", "<NA>", "#N/A", "?", "-")


def test_markers_of_missing_values_are_no_label_and_are_counted(tmp_path: Path) -> None:
    lines = rows()
    for n, line in enumerate(lines):
        if n % 5 == 4:
            line[2:5] = [MARKS[n // 5 % len(MARKS)], "unknown", "-999.0"]
    write(tmp_path, lines)
    suite = read(tmp_path, missing={"smiling": ["unknown"], "age": ["-999"]})
    kind, smiling, age = suite.tasks
    assert kind.objective == Classification(3, KINDS)
    assert smiling.objective == Binary()
    assert isinstance(age.objective, Regression)
    assert suite.notes[1] == "smiling: binary, 24 of 1, 24 of 0, 48 labelled, 12 missing"
    assert (
        "'smiling': 'unknown' (12 times) taken as no label; suite.not_missing.s" in suite.notes[4]
    )
    assert suite.record["missing"]["smiling"] == {"unknown": 12}
    assert suite.record["missing"]["kind"]["nan"] == 1
    # sodium is not a missing value, and what says so is a class
    for n, line in enumerate(lines):
        line[2] = ("Na", "none", "K")[n % 3]
    write(tmp_path, lines)
    chosen = {"tasks": ["kind"], "not_missing": ["none"]}
    assert read(tmp_path, **chosen).tasks[0].objective == Classification(3, ("K", "Na", "none"))


def test_a_number_that_means_no_label_does_so_however_it_is_written(tmp_path: Path) -> None:
    written = ("-999", "-999.00", "-9.99E+02", "-999,0")
    mask, count = Missing(["-999"]).mask("x", np.array([*written, "0999", "-99", "none of it"]))
    assert mask.tolist() == [False] * 4 + [True] * 3
    assert count == dict.fromkeys(written, 1)
    kept, _ = Missing(["1"], ["1.0"]).mask("x", np.array(["1", "01", "1.0", "1.00"]))
    assert kept.tolist() == [False, True, True, False]


def test_codes_stay_distinct_and_keep_an_order(tmp_path: Path) -> None:
    long = ("9007199254740992", "9007199254740993", "7" * 30)
    for texts in (("01", "02", "1", "2"), ("1000", "1e3", "5"), long):
        lines = [[f"faces/{n}.png", texts[n % len(texts)]] for n in range(40)]
        write(tmp_path, lines, ("image", "code"))
        suite = read(tmp_path)
        assert suite.tasks[0].objective == Classification(len(texts), texts)
    lines = [[f"faces/{n}.png", str(n % 12)] for n in range(60)]
    write(tmp_path, lines, ("image", "month"))
    names = tuple(map(str, range(12)))
    assert read(tmp_path).tasks[0].objective == Classification(12, names)
    lines = [[f"faces/{n}.png", f"{n % 3 + 7}.0" if n % 4 else ""] for n in range(60)]
    write(tmp_path, lines, ("image", "pandas"))
    assert read(tmp_path).tasks[0].objective == Classification(3, ("7", "8", "9"))


def test_numbers_are_standardised_by_the_training_split(tmp_path: Path) -> None:
    lines = rows()
    for n, line in enumerate(lines):
        line[4] = f"{1000 * n + 0.5}"
    write(tmp_path, lines)
    suite = read(tmp_path, tasks=["age", "kind"])
    age = suite.tasks[0]
    assert isinstance(age.objective, Regression)
    train = np.array([1000 * n + 0.5 for n, line in enumerate(lines) if line[1] == "train"])
    assert age.objective.means == pytest.approx([train.mean()])
    assert age.objective.deviations == pytest.approx([train.std()])
    assert age.train.targets[:, 0].tolist() == train.tolist()
    record = {"age": {"mean": list(age.objective.means), "deviation": [*age.objective.deviations]}}
    assert suite.record["standardized"] == record
    plain = read(tmp_path, tasks=["age", "kind"], standardize=False)
    assert plain.tasks[0].objective == Regression()
    assert "standardized" not in plain.record


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (lambda n: 2.5, "x: all labels are 2.5: there is nothing to learn"),
        (lambda n: 1e9 if n == 7 else n / 3, "x: 1 label far from all others, e.g. 1e+09 where"),
        (lambda n: 1.7e9 + 86400.5 * n, "look like times since 1970"),
        (lambda n: n / 3, None),
    ],
)
def test_numbers_that_cannot_be_meant_are_hinted_at(
    tmp_path: Path, number: Any, hint: str | None
) -> None:
    lines = [[f"faces/{n}.png", str(number(n))] for n in range(40)]
    write(tmp_path, lines, ("image", "x"))
    notes = read(tmp_path, kinds={"x": "numbers"}).notes
    assert len(notes) == (1 if hint is None else 2)
    assert hint is None or hint in notes[1]


CELL = st.one_of(st.just(""), st.integers(-5, 5).map(str), st.floats().map(str), st.text())


@settings(max_examples=100, deadline=None)
@given(st.lists(CELL))
def test_every_cell_has_a_value_or_none_or_is_a_fault(cells: list[str]) -> None:
    cells = [cell.strip() for cell in cells]
    places = [f"row {n}" for n in range(len(cells))]
    known, count = Missing().mask("x", np.array(cells, str))
    for kind in ("classes", "binary", "numbers"):
        faults = Faults("table", skip=True)
        values, present = parse_column("x", cells, known, kind, places, faults)
        assert len(values) == len(present) == len(cells)
        assert present.sum() + len(faults.found) + sum(count.values()) == len(cells)
        assert values.dtype.kind == {"binary": "i", "numbers": "f"}.get(kind, values.dtype.kind)
