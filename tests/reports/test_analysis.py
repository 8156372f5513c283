"""What the table says, and what it admits that it cannot say."""

import dataclasses
from pathlib import Path

import pytest
from scipy import stats as scipy_stats
from support.synthetic_runs import make_run, make_runs

from mtl_framework.comparisons.files import CSV, JSON, read_cells, write_files
from mtl_framework.reports.analysis import Analysis, analyse, seeds_needed
from mtl_framework.runs.records import Group, RunRecord, make_groups
from mtl_framework.support.errors import MtlError


def analysis_of(records: list[RunRecord], **options: object) -> Analysis:
    (group,) = make_groups(records)
    return analyse(group, **options)  # type: ignore[arg-type]


def errors(records: list[RunRecord], strategy: str) -> list[float]:
    results = [r.result for r in records if r.result and r.strategy == strategy]
    return [mean for result in results if (mean := result.test.error_mean) is not None]


def with_error(record: RunRecord, error: float) -> RunRecord:
    assert record.result is not None
    test = record.result.test
    flat = dataclasses.replace(test, error_mean=error, per_task=dict.fromkeys(test.per_task, error))
    return dataclasses.replace(record, result=dataclasses.replace(record.result, test=flat))


def with_macs(record: RunRecord, macs: float | None) -> RunRecord:
    assert record.result is not None
    return dataclasses.replace(record, result=dataclasses.replace(record.result, macs=macs))


def failed(record: RunRecord) -> RunRecord:
    return dataclasses.replace(record, state="failed", result=None, error="ValueError: no")


def test_a_clear_winner_is_best_and_the_tests_are_scipys(tmp_path: Path) -> None:
    records = make_runs(tmp_path)
    found = analysis_of(records)
    assert [row.strategy for row in found.rows if row.best] == ["found"]
    assert found.baseline == "none"  # the one whose tasks share nothing
    assert len(found.pairs) == 6
    for pair in found.pairs:
        a, b = errors(records, pair.better), errors(records, pair.other)
        assert pair.p == scipy_stats.mannwhitneyu(a, b, alternative="less").pvalue
        assert pair.difference.value == pytest.approx(sum(a) / 5 - sum(b) / 5)
        assert pair.difference.paired
    # complete separation of 5 and 5: 1 / C(10, 5), of six tests
    best = next(p for p in found.pairs if (p.better, p.other) == ("found", "full"))
    assert best.p_holm == pytest.approx(6 / 252)
    assert found.notes == ()


def test_three_seeds_can_show_nothing_and_the_note_says_how_many_can(tmp_path: Path) -> None:
    found = analysis_of(make_runs(tmp_path, seeds=3))
    assert not any(row.best for row in found.rows)
    (note,) = found.notes
    assert "smallest p that the test can give is 0.3" in note  # 6 * 1 / C(6, 3)
    assert "5 seeds a strategy" in note
    assert seeds_needed(3, 0.05) == 5
    assert seeds_needed(2, 0.05) == 4  # 2 / C(8, 4) = 0.029, 2 / C(6, 3) = 0.1


def test_one_seed_has_no_deviation_and_no_interval(tmp_path: Path) -> None:
    found = analysis_of(make_runs(tmp_path, seeds=1))
    assert all(row.error_mean and row.error_mean.sd is None for row in found.rows)
    assert all(pair.difference.low is None for pair in found.pairs)
    assert sum("one seed says nothing" in note for note in found.notes) == 3


def test_operations_are_a_mean_of_all_runs_or_not_said(tmp_path: Path) -> None:
    records = [with_macs(r, 1e9 * (r.seed + 1)) for r in make_runs(tmp_path, seeds=3)]
    one = records[0].strategy
    assert [row.gmacs.mean for row in analysis_of(records).rows if row.gmacs] == [2.0, 2.0, 2.0]
    records[0] = with_macs(records[0], None)  # of before operations were counted
    found = {row.strategy: row.gmacs for row in analysis_of(records).rows}
    assert [name for name, gmacs in found.items() if gmacs is None] == [one]


def test_equal_errors_are_called_equal(tmp_path: Path) -> None:
    records = [with_error(r, 10.0 + r.seed) for r in make_runs(tmp_path) if r.strategy != "full"]
    found = analysis_of(records)
    assert not any(row.best for row in found.rows)
    assert {pair.difference.value for pair in found.pairs} == {0.0}
    assert any("none have equal errors" in n or "found have equal errors" in n for n in found.notes)
    assert all(pair.p > 0.4 for pair in found.pairs)


def test_failed_runs_are_counted_and_forbid_the_bold(tmp_path: Path) -> None:
    records = make_runs(tmp_path, seeds=6)
    broken = [failed(r) if (r.strategy, r.seed) == ("found", 2) else r for r in records]
    row = analysis_of(broken).row("found")
    assert (row.runs, row.done, row.failed, row.best) == (6, 5, 1, False)
    assert row.error_mean is not None
    assert row.error_mean.n == 5
    assert any("found: 1 run failed" in note for note in analysis_of(broken).notes)
    assert analysis_of(records).row("found").best


def test_a_strategy_without_any_run_has_dashes_and_no_tests(tmp_path: Path) -> None:
    records = [failed(r) if r.strategy == "full" else r for r in make_runs(tmp_path)]
    found = analysis_of(records)
    assert found.row("full").error_mean is None
    assert {pair.better for pair in found.pairs} == {"none", "found"}
    # it is not better than a strategy that nothing is known of
    assert not found.row("found").best


def test_delta_m_is_the_mean_over_seeds_against_the_mean_baseline(tmp_path: Path) -> None:
    records = make_runs(tmp_path)
    found = analysis_of(records)
    (group,) = make_groups(records)
    base = {
        t: sum(r.result.test.per_task[t] for r in group.done("none") if r.result) / 5
        for t in group.tasks
    }
    gains = [
        sum(100 * (base[t] - r.result.test.per_task[t]) / base[t] for t in group.tasks) / 3
        for r in group.done("full")
        if r.result
    ]
    row = found.row("full")
    assert row.delta_m is not None
    assert row.delta_m.mean == pytest.approx(sum(gains) / 5)
    assert row.delta_m.mean < 0
    baseline = found.row("none").delta_m
    assert baseline is not None
    assert baseline.mean == pytest.approx(0, abs=1e-9)


def test_a_perfect_baseline_leaves_delta_m_open(tmp_path: Path) -> None:
    records = [with_error(r, 0.0) if r.strategy == "none" else r for r in make_runs(tmp_path)]
    found = analysis_of(records)
    assert found.row("found").delta_m is None
    told = "Δm cannot be told where none has an error of zero: " + ", ".join(
        make_groups(records)[0].tasks
    )
    assert f"{told}." in found.notes


def test_without_a_baseline_there_is_no_delta_m(tmp_path: Path) -> None:
    found = analysis_of([r for r in make_runs(tmp_path) if r.strategy == "full"])
    assert found.baseline is None
    assert found.row("full").delta_m is None


def test_runs_with_other_tasks_are_not_mixed(tmp_path: Path) -> None:
    records = [
        make_run(tmp_path / "a", "full", 0, tasks=3),
        make_run(tmp_path / "b", "none", 0, tasks=4),
    ]
    with pytest.raises(MtlError, match="report them apart"):
        make_groups(records)


def test_files_hold_everything_and_are_read_back(tmp_path: Path) -> None:
    records = make_runs(tmp_path / "runs", seeds=2)
    (group,) = make_groups(records)
    found = analyse(group)
    settings = {"baseline": None, "significance": 0.05, "select": "last"}
    write_files(tmp_path, settings, records, [found])
    again, cells = read_cells(tmp_path)
    assert again == settings
    assert [cell["directory"] for cell in cells] == [record.directory for record in records]
    lines = (tmp_path / CSV).read_text().splitlines()
    assert lines[0].startswith("suite,backbone,strategy,seed,state,metric,split,task,value")
    value = records[0].result.test.per_task["greek"] if records[0].result else None
    assert f"alphabets,synthetic,full,0,done,error,test,greek,{value},runs/full-0" in lines


def test_a_file_that_is_no_comparison_is_refused(tmp_path: Path) -> None:
    (tmp_path / JSON).write_text('{"runs": [{"seed": "x"}]}')
    with pytest.raises(MtlError, match="is not a comparison"):
        read_cells(tmp_path)


def test_groups_are_by_suite_and_backbone(tmp_path: Path) -> None:
    records = make_runs(tmp_path, seeds=1)
    moved = [dataclasses.replace(r, backbone="other") for r in records]
    groups = make_groups([*records, *moved])
    assert [(g.suite, g.backbone, len(g.records)) for g in groups] == [
        ("alphabets", "synthetic", 3),
        ("alphabets", "other", 3),
    ]
    assert isinstance(groups[0], Group)


def test_a_baseline_that_has_not_run_has_no_error_of_zero(tmp_path: Path) -> None:
    records = [
        dataclasses.replace(record, state="waiting", result=None)
        if record.strategy == "none"
        else record
        for record in make_runs(tmp_path)
    ]
    notes = " ".join(analysis_of(records, baseline="none").notes)
    assert "Δm cannot be told before a run of none has ended." in notes
    assert "zero" not in notes
