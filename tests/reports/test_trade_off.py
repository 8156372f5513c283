"""Error against parameters: which strategies are at the front, and when there is a figure."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.synthetic_runs import make_run

from mtl_framework.networks.model import ParameterCounts
from mtl_framework.plotting import ReportFigure
from mtl_framework.reports.analysis import analyse
from mtl_framework.reports.figure import svg
from mtl_framework.reports.trade_off import front_of, trade_off
from mtl_framework.runs.records import RunRecord, make_groups

few = st.integers(0, 4).map(float)


def of_size(record: RunRecord, deployed: int, figure: str | None = None) -> RunRecord:
    """The same run with a network of another size; a ``figure`` of its own is ideally 100."""
    result = record.result
    assert result is not None
    changed = dataclasses.replace(result, parameters=ParameterCounts(deployed, deployed))
    if figure is not None:
        metrics = dict.fromkeys(result.metrics, figure)
        test = dataclasses.replace(result.test, ideals=dict.fromkeys(metrics, 100.0))
        changed = dataclasses.replace(changed, metrics=metrics, test=test)
    return dataclasses.replace(record, result=changed)


def records_of(
    folder: Path, sizes_and_levels: Mapping[str, tuple[int, float]], figure: str | None = None
) -> list[RunRecord]:
    return [
        of_size(make_run(folder / f"{name}-{seed}", name, seed, level=level), size, figure)
        for name, (size, level) in sizes_and_levels.items()
        for seed in range(3)
    ]


def figure_of(records: Sequence[RunRecord]) -> ReportFigure | None:
    (group,) = make_groups(records)
    return trade_off(analyse(group))


def drawn(
    folder: Path, sizes_and_levels: Mapping[str, tuple[int, float]], figure: str | None = None
) -> ReportFigure | None:
    return figure_of(records_of(folder, sizes_and_levels, figure))


def numbers_in(found: ReportFigure) -> list[str]:
    return [text.get_text() for text in found.figure.axes[0].texts]


@given(st.lists(st.tuples(few, few), min_size=1, max_size=8))
def test_the_front_is_what_nothing_is_below_or_level_with(
    points: list[tuple[float, float]],
) -> None:
    def beaten(point: tuple[float, float]) -> bool:
        return any(
            other != point and other[0] <= point[0] and other[1] <= point[1] for other in points
        )

    front = front_of(points)
    assert sorted(front) == [place for place, point in enumerate(points) if not beaten(point)]
    on_it = [points[place] for place in front]
    assert all(a[0] <= b[0] and a[1] >= b[1] for a, b in itertools.pairwise(on_it))


SIZES = {"full": (1_000, 14.0), "two": (4_000, 9.0), "waste": (5_000, 12.0), "none": (9_000, 7.0)}


def test_the_front_is_named_and_the_others_are_not(tmp_path: Path) -> None:
    found = drawn(tmp_path, SIZES)
    assert found is not None
    assert found.alt.endswith("no larger, than: full, two, none.")
    assert "test error %" in found.alt
    assert "lower is better" in found.caption
    assert svg(found.figure) == svg(found.figure)
    axes = found.figure.axes[0]
    assert axes.get_xscale() == "log"
    assert [1_000, 4_000, 9_000] in [np.asarray(line.get_xdata()).tolist() for line in axes.lines]
    assert sorted(numbers_in(found)) == ["1", "2", "3", "4"]


def test_of_figures_that_should_be_large_the_largest_are_at_the_front(tmp_path: Path) -> None:
    found = drawn(tmp_path, SIZES, "accuracy %")
    assert found is not None
    assert found.alt.endswith("no larger, than: full.")
    assert "higher is better" in found.caption


def test_dots_that_overlap_have_their_numbers_together(tmp_path: Path) -> None:
    records = records_of(tmp_path, SIZES)
    again = [dataclasses.replace(r, strategy="same") for r in records if r.strategy == "two"]
    found = figure_of([*records, *again])
    assert found is not None
    assert sorted(numbers_in(found)) == ["1", "2, 5", "3", "4"]


def test_an_error_that_is_no_number_has_no_place(tmp_path: Path) -> None:
    records = records_of(tmp_path, SIZES)
    bad = []
    for record in records:
        assert record.result is not None
        if record.strategy == "none":
            test = dataclasses.replace(record.result.test, error_mean=float("nan"))
            result = dataclasses.replace(record.result, test=test)
            bad.append(dataclasses.replace(record, strategy="bad", result=result))
    found = figure_of([*records, *bad])
    assert found is not None
    assert sorted(numbers_in(found)) == ["1", "2", "3", "4"]
    assert found.alt.endswith("than: full, two, none.")


@pytest.mark.parametrize("names", [["full", "none"], []])
def test_too_few_strategies_and_those_of_one_size_have_no_figure(
    tmp_path: Path, names: list[str]
) -> None:
    sizes = {name: SIZES[name] for name in names} or dict.fromkeys(SIZES, (1000, 9.0))
    assert drawn(tmp_path, sizes) is None
