"""All metrics in reports: directions, both definitions of Delta m, tables and pictures."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.synthetic_runs import make_run

from mtl_framework import Result
from mtl_framework.networks.evaluation import SplitMetrics, can_be_averaged
from mtl_framework.networks.result import Best
from mtl_framework.reports.analysis import Analysis, analyse
from mtl_framework.reports.build import write_report
from mtl_framework.reports.class_figures import class_figures
from mtl_framework.reports.figure import png
from mtl_framework.reports.stats import delta_m
from mtl_framework.runs.records import RunRecord, make_groups


def record(folder: Path, strategy: str, seed: int, sharing: str, **split: Any) -> RunRecord:
    """A run whose test figures are given; its file is written anew."""
    run = make_run(folder / f"{strategy}-{seed}", strategy, seed, tasks=2, sharing=sharing)
    assert run.result is not None
    values = json.loads((run.directory / "result.json").read_text())
    values["test"] |= split
    values["metrics"] = dict.fromkeys(values["metrics"], "accuracy %")
    values["higher_is_better"] = ["accuracy %", "R²"]
    (run.directory / "result.json").write_text(json.dumps(values))
    result = Result.load(run.directory)
    return RunRecord(strategy, "s", "b", seed, run.directory, 400, "done", result)


def analysis(folder: Path) -> Analysis:
    """Accuracies 80 and 40 without sharing, 90 and 42 with; 5 % and 25 % better."""
    runs = []
    for strategy, sharing, (first, second), (r2, mae) in (
        ("none", "none", (80.0, 40.0), (0.5, 2.0)),
        ("full", "full", (84.0, 50.0), (0.6, 3.0)),
    ):
        for seed in range(2):
            one = {"accuracy %": first, "error %": 100 - first, "R²": r2}
            two = {"accuracy %": second, "error %": 100 - second, "MAE": mae, "F1 %": None}
            runs.append(
                record(
                    folder, strategy, seed, sharing,
                    error_mean=(first + second) / 2, error_pooled=None,
                    per_task={"digits": first, "latin": second},
                    metrics={"digits": one, "latin": two},
                    ideals={"digits": 100.0, "latin": 100.0},
                )
            )  # fmt: skip
    (group,) = make_groups(runs)
    return analyse(group)


def test_both_definitions_of_delta_m_and_their_sign(tmp_path: Path) -> None:
    found = analysis(tmp_path)
    assert found.baseline == "none"
    row = found.row("full")
    assert row.delta_m is not None
    assert row.delta_m.mean == pytest.approx((5 + 25) / 2)  # larger is better here: positive
    # all metrics: accuracy +5, R² +20, accuracy +25, MAE -50; errors say what accuracies say
    assert row.delta_m_all is not None
    assert row.delta_m_all.mean == pytest.approx((5 + 20 + 25 - 50) / 4)
    assert found.row("none").delta_m_all is not None
    assert row.metrics["latin"].keys() == {"accuracy %", "error %", "MAE"}
    assert "higher is better" in found.caption
    best = [(pair.better, pair.difference.value) for pair in found.pairs]
    assert ("full", -7.0) in best  # what 67 % lack of 100 %, minus what 60 % lack


def test_delta_m_by_hand() -> None:
    found = delta_m({"a": 1.0, "b": -0.4, "c": 3.0}, {"a": 2.0, "b": -0.5, "c": 0.0}, {"b"})
    assert found.per_task == {"a": 50.0, "b": pytest.approx(20.0), "c": None}
    assert found.mean is None


def test_what_is_best_where_larger_is_better() -> None:
    def best(*values: float, ideals: dict[str, float]) -> Best:
        tasks = {f"t{n}": float(value) for n, value in enumerate(values)}
        same = len(ideals) in (0, len(values))
        mean = sum(values) / len(values) if same else None
        split = SplitMetrics(mean, None, tasks, tasks, {}, ideals)
        return Best(1, split, split)

    larger = {"t0": 100.0, "t1": 100.0}
    assert best(90, 80, ideals=larger).is_better_than(best(85, 80, ideals=larger))
    assert not best(90, 80, ideals={}).is_better_than(best(85, 80, ideals={}))
    one = {"t0": 1.0}  # R², of which 1 - R² counts, and an error
    assert best(0.9, 5.0, ideals=one).is_better_than(best(0.8, 6.0, ideals=one), False)
    assert best(-0.5, 5.0, ideals=one).is_better_than(best(-1.0, 5.0, ideals=one), False)
    assert best(0.9, 4.0, ideals=one).validation.overall == pytest.approx((0.1 * 4) ** 0.5)
    assert can_be_averaged(["R²", "R²"])
    assert not can_be_averaged(["RMSE", "RMSE"])


def details(folder: Path, kind: str, right: int) -> None:
    bins = {"rows": [0, 4], "confidence": [None, 0.8], "right": [None, right / 4]}
    task = {"classes": ["a", "b"], "accuracy": [100.0 * right / 3, None],
            "confusion": [[right, 3 - right], [0, 0]], "reliability": bins}  # fmt: skip
    content = {"iteration": 1, "tasks": {"digits": task, "latin": {}}}
    (folder / f"details-{kind}.json").write_text(json.dumps(content))


def test_pictures_and_tables_are_drawn_of_what_runs_kept(tmp_path: Path) -> None:
    found = analysis(tmp_path / "runs")
    for run in found.group.records:
        details(run.directory, "last", 2)
    figures = {figure.name: figure for figure in class_figures(found.group, "last")}
    assert set(figures) == {"confusion-none", "confusion-full", "class-accuracy", "reliability"}
    shown = [text.get_text() for text in figures["confusion-full"].figure.axes[0].texts]
    assert shown == ["4", "2"]  # of two seeds together
    page = write_report(tmp_path / "report", "Title", "below", [found]).read_text()
    assert "Every metric of every task" in page
    assert "all metrics, %" in page
    assert (tmp_path / "report" / "figures" / "s-b-reliability.png").is_file()
    (found.group.records[0].directory / "details-last.json").write_text('{"tasks": {"digits": 3}}')
    with pytest.raises(Exception, match=r"details-last.json is damaged: tasks.digits"):
        found.group.records[0].details()


def test_many_strategies_leave_panels_as_high_as_few(tmp_path: Path) -> None:
    heights = []
    for count in (2, 9):
        folders = [tmp_path / f"{count}-{n}" for n in range(count)]
        runs = [make_run(folder, f"strategy {n}", 0) for n, folder in enumerate(folders)]
        for folder in folders:
            details(folder, "last", 2)
        (group,) = make_groups(runs)
        found = {figure.name: figure.figure for figure in class_figures(group, "last")}
        for name in ("class-accuracy", "reliability"):
            png(found[name])
            heights.append(found[name].axes[0].get_window_extent().height)
    assert heights[2:] == pytest.approx(heights[:2], rel=0.15)


def test_runs_from_before_have_no_such_tables(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"{n}", n, 0, sharing=n) for n in ("none", "full")]
    (group,) = make_groups(runs)
    found = analyse(group)
    assert not found.every_metric
    assert found.metric_tables == []
    assert list(class_figures(group, "last")) == []
