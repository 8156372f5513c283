"""Columns of dates are no tasks, and where a user asks for one, messages say what it is."""

from datetime import date
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from mtl_suites.dates import dates_among, is_date
from mtl_suites.kinds import guess_column
from support.tables import read, write

from mtl_framework.support.errors import ProblemsError


@given(
    st.dates(date(1970, 1, 1), date(2068, 12, 31)),
    st.sampled_from(["{d}-{m}-{y}", "{m}/{d}/{y}", "{d}.{m}.{Y}", "{Y}.{m}.{d}", "{m}-{d}-{Y}",
                     "{d}. {m}. {Y}", "{Y}{mm}{dd}", "{Y}-{mm}-{dd}", "{yy}-{mm}-{dd}"]),
    st.sampled_from(["", " 8:05", " 18:00:30", "T18:00:30.5Z", " 6:30 PM"]),
)  # fmt: skip
def test_days_in_many_orders(day: date, form: str, clock: str) -> None:
    text = form.format(
        d=day.day, m=day.month, y=f"{day:%y}", Y=day.year, mm=f"{day:%m}", dd=f"{day:%d}",
        yy=f"{day:%y}",
    )  # fmt: skip
    assert is_date(text + ("" if form == "{Y}{mm}{dd}" else clock))


@pytest.mark.parametrize(
    "text",
    ["1-2-3", "1.2.3", "32-1-24", "13-13-24", "30-2-24", "1-2/24", "2024", "20241301", "1-1-24x",
     "555-12-34", "Cat 1, 2024", "1.5", "7,1", "1-1-1024-1", ""],
)  # fmt: skip
def test_other_texts(text: str) -> None:
    assert not is_date(text)


def test_nine_tenths_of_a_column_are_enough() -> None:
    cells = [f"{n % 12 + 1}-1-24" for n in range(36)]
    found = guess_column("day", [*cells, "soon", "soon"])
    assert found.kind is None
    assert "holds dates (e.g. 1-1-24): left out; suite.kinds.day=classes" in found.remark
    assert guess_column("day", [*cells, *["soon"] * 8]).kind == "classes"
    numbers = {"20240131": 19, "5": 1}
    assert dates_among(numbers) == ""
    assert dates_among({"20240131": 19, "20240201": 1}) == "20240131"


def dated(folder: Path, days: int) -> None:
    lines = [[f"faces/{n}.png", "ab"[n % 2], f"{n % days % 12 + 1}-{n % days + 1}-24"]
             for n in range(24)]  # fmt: skip
    write(folder, lines, ("image", "kind", "day"))


def test_a_column_of_dates_that_is_asked_for(tmp_path: Path) -> None:
    dated(tmp_path, 3)
    advice = "leave it out of suite.tasks, or write a number for a date"
    notes = "\n".join(read(tmp_path, tasks=["kind", "day"]).notes)
    assert f"column 'day' looks like dates (e.g. 1-1-24), and each is taken as a class: {advice}" \
        in notes  # fmt: skip
    assert "; where classes are meant: suite.kinds.day=classes" in notes
    meant = read(tmp_path, tasks=["kind", "day"], kinds={"day": "classes"})
    assert "looks like dates" not in "\n".join(meant.notes)
    dated(tmp_path, 24)
    with pytest.raises(ProblemsError, match="24 of 24 classes have a single row") as caught:
        read(tmp_path, tasks=["kind", "day"])
    assert advice in str(caught.value)
    with pytest.raises(ProblemsError, match=r"found '1-1-24', which looks like a date; write a"):
        read(tmp_path, kinds={"day": "numbers"})
