"""Tasks with different metrics: no mean anywhere, relative gains instead."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from support.synthetic_runs import make_runs

from mtl_framework.cli.summary import task_table
from mtl_framework.comparisons.files import CSV, write_files
from mtl_framework.networks.evaluation import SplitMetrics, split_text
from mtl_framework.networks.result import Best
from mtl_framework.reports.analysis import Analysis, analyse
from mtl_framework.reports.build import write_report
from mtl_framework.reports.curves import error_curves
from mtl_framework.reports.tables import analysis_table
from mtl_framework.runs.records import RunRecord, make_groups

METRICS = ("error %", "perplexity", "RMSE")
SCALES = (1.0, 10.0, 0.01)


def mixed(record: RunRecord) -> RunRecord:
    """The same run, with metrics of three kinds, whose sizes differ a thousandfold."""
    result = record.result
    assert result is not None
    figures = zip(result.test.per_task.items(), SCALES, strict=True)
    per_task = {task: scale * value for (task, value), scale in figures}
    test = dataclasses.replace(result.test, error_mean=None, error_pooled=None, per_task=per_task)
    metrics = dict(zip(per_task, METRICS, strict=True))
    own = dict(zip(per_task, ("lenet", "lstm", "lenet"), strict=True))
    changed = dataclasses.replace(
        result, test=test, best=None, metrics=metrics, backbone="lenet+lstm", backbones=own
    )
    return dataclasses.replace(record, result=changed)


def records_of(directory: Path) -> list[RunRecord]:
    return [mixed(record) for record in make_runs(directory)]


def analysis_of(records: list[RunRecord], baseline: str | None = None) -> Analysis:
    (group,) = make_groups(records)
    return analyse(group, baseline)


def test_runs_are_compared_by_their_relative_gain(tmp_path: Path) -> None:
    plain = make_runs(tmp_path)
    found, same = analysis_of([mixed(r) for r in plain]), analysis_of(plain)
    assert found.group.mixed
    assert not same.group.mixed
    assert found.baseline == "none"
    assert all(row.error_mean is None for row in found.rows)
    # the scale of a metric changes nothing in the gains, and it is these that are tested
    for row, other in zip(found.rows, same.rows, strict=True):
        assert row.delta_m is not None
        assert other.delta_m is not None
        assert row.delta_m.mean == pytest.approx(other.delta_m.mean)
    pair = next(p for p in found.pairs if (p.better, p.other) == ("found", "full"))
    gains = [found.row(name).delta_m for name in ("full", "found")]
    assert gains[0] is not None
    assert gains[1] is not None
    assert pair.difference.value == pytest.approx(gains[0].mean - gains[1].mean)
    assert [row.strategy for row in found.rows if row.best] == ["found"]
    assert "each task in its own metric" in found.caption
    assert found.unit == "Δm %"
    assert any("different metrics" in note for note in found.notes)


def test_without_a_baseline_nothing_is_tested(tmp_path: Path) -> None:
    found = analysis_of([r for r in records_of(tmp_path) if r.strategy != "none"])
    assert found.baseline is None
    assert found.pairs == ()
    assert any("nothing is tested" in note for note in found.notes)


def test_tables_and_pages_show_each_task_in_its_unit(tmp_path: Path) -> None:
    found = analysis_of(records_of(tmp_path / "runs"))
    table = analysis_table(found, 200)
    assert isinstance(table, Table)
    headers = [str(column.header) for column in table.columns]
    assert headers[2:5] == [
        f"{task}\n{metric}" for task, metric in zip(found.group.tasks, METRICS, strict=True)
    ]
    assert "error" not in headers
    assert str(table.title) == "alphabets · lenet+lstm"
    figure = error_curves(found.group)
    assert figure is not None
    assert [axis.get_ylabel() for axis in figure.figure.axes] == [f"test {m}" for m in METRICS]
    page = write_report(tmp_path, "t", "s", [found]).read_text(encoding="utf-8")
    assert "mean of tasks" not in page
    assert all(f'<span class="unit">{metric}</span>' in page for metric in METRICS)
    settings = {"baseline": None, "significance": 0.05, "select": "last"}
    write_files(tmp_path, settings, found.group.records, [found])
    assert "error_mean" not in (tmp_path / CSV).read_text()


def test_a_runs_own_table_has_no_mean(tmp_path: Path) -> None:
    result = records_of(tmp_path)[0].result
    assert result is not None
    table = task_table(result, 200)
    assert isinstance(table, Table)
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    assert cells[2] == list(METRICS)
    assert "mean over tasks" not in cells[1]
    text = split_text(result.test, result.metrics)
    assert text.count(";") == 2
    assert text.endswith("RMSE")


def best(**values: float) -> Best:
    split = SplitMetrics(None, None, values, values)
    return Best(0, split, split)


def test_validation_prefers_what_gains_more_than_it_loses() -> None:
    first = best(a=10.0, b=100.0, c=0.5)
    assert best(a=10.0, b=100.0, c=0.4).is_better_than(first)  # a mean would not see it
    assert not best(a=20.0, b=90.0, c=0.5).is_better_than(first)
    assert not first.is_better_than(first)
    assert best(a=0.0, b=1.0).is_better_than(best(a=0.0, b=2.0))
    assert not best(a=0.1, b=0.1).is_better_than(best(a=0.0, b=2.0))


@given(st.lists(st.tuples(*[st.floats(0.01, 100)] * 3), min_size=2, max_size=8))
def test_steps_to_the_better_never_lead_back(figures: list[tuple[float, ...]]) -> None:
    candidates = [best(**dict(zip("abc", values, strict=True))) for values in figures]
    for first, second in pairwise(candidates):
        assert not (first.is_better_than(second) and second.is_better_than(first))
        if second.is_better_than(first):
            assert second.validation.overall < first.validation.overall * (1 + 1e-9)
