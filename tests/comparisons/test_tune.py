"""Searches: chosen by validation, ended early by curves, resumed as if not stopped."""

import csv
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console
from support.tiny import TinyPlugins

from mtl_framework.comparisons.in_process import InProcess
from mtl_framework.comparisons.resources import Resources
from mtl_framework.comparisons.tuning import command
from mtl_framework.comparisons.tuning import search as search_module
from mtl_framework.comparisons.tuning.command import TuneOutcome, best_table, tune
from mtl_framework.comparisons.tuning.config import read_tuning
from mtl_framework.comparisons.tuning.study import _grid, _sampler, ask, import_optuna, open_study
from mtl_framework.networks.result import Result
from mtl_framework.reports.trials import TrialRecord
from mtl_framework.runs.resolve import read_file, resolve
from mtl_framework.support.errors import MtlError
from mtl_framework.support.yamls import dump_yaml

BASE: dict[str, Any] = {
    "strategy": "soft", "backbone": "tiny", "suite": "tiny", "iterations": 6, "eval_every": 2,
    "batch_size": 8, "device": "cpu",
}  # fmt: skip
RATE = {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are done in this process, which alone knows the tiny plugins."""
    monkeypatch.setattr(search_module, "_PAUSE", 0.0)
    monkeypatch.setattr(
        command, "executor_for", lambda *_: (lambda: InProcess(TinyPlugins(), 1), 1)
    )


def write(folder: Path, section: Mapping[str, Any], **keys: Any) -> Path:
    path = folder / "t.yaml"
    path.write_text(dump_yaml({**BASE, **keys, "tune": dict(section)}))
    return path


def search(folder: Path, section: Mapping[str, Any], output: str = "out", **keys: Any) -> Any:
    console = Console(file=io.StringIO(), width=200)
    outcome = tune(
        write(folder, section, **keys), folder / output, TinyPlugins(), Resources(), console
    )
    return outcome, console.file.getvalue()  # type: ignore[attr-defined]


def told(outcome: TuneOutcome) -> list[tuple[str, Mapping[str, Any], float | None]]:
    return [(t.state, t.options, t.value) for t in outcome.search.trials]


def test_the_best_by_validation_is_written_and_runs(tmp_path: Path) -> None:
    section = {"options": {**RATE, "suite.examples": [16, 24]}, "trials": 5, "pruner": "none"}
    outcome, said = search(tmp_path, section)
    best = outcome.search.best
    values = {}
    for trial in outcome.search.trials:
        (folder,) = trial.folders
        result = Result.load(tmp_path / "out" / folder)
        assert result.validation is not None
        assert trial.value == result.validation.overall
        assert "keep: none" in (tmp_path / "out" / folder / "config.yaml").read_text()
        values[trial.number] = trial.value
    assert best.number == min(values, key=values.__getitem__)
    config = resolve(TinyPlugins(), [read_file(tmp_path / "out" / "best.yaml")]).config
    assert config.strategy.options["learning_rate"] == best.options["learning_rate"]
    assert config.suite.options["examples"] == best.options["suite.examples"]
    assert config.keep != "none"
    with (tmp_path / "out" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation"]) for row in rows] == list(values.values())
    assert {row["suite.examples"] for row in rows} <= {"16", "24"}
    assert "[5/5] trial 4: error %: validation" in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Validation by suite.examples" in page
    assert page.count("<img") == 4
    table = Console(file=io.StringIO(), width=80)
    table.print(best_table(outcome.search, 80))
    assert f"{best.value:.4g}" in table.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.long
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    section = {"options": RATE, "trials": 4, "seeds": 2, "pruner": "none"}
    whole, _ = search(tmp_path, section, "whole")
    assert all(len(trial.folders) == 2 for trial in whole.search.trials)
    search(tmp_path, {**section, "trials": 2}, "cut")
    # a third trial has been drawn, and its process is gone before it has any value
    tuning = read_tuning(tmp_path / "t.yaml", TinyPlugins(), {"trials": 4})
    study = open_study(tmp_path / "cut", "t", None, tuning)
    assert ask(study, tuning, tmp_path / "cut") is not None
    again, _ = search(tmp_path, section, "cut")
    assert told(again) == told(whole)
    with pytest.raises(MtlError, match=r"had tune.seeds 2, not 1: give another --output"):
        search(tmp_path, {**section, "seeds": 1}, "cut")
    with pytest.raises(MtlError, match="had batch_size 8, not 4"):
        search(tmp_path, section, "cut", batch_size=4)


@pytest.mark.long
def test_trials_of_another_folder_are_left_to_it(tmp_path: Path) -> None:
    section = {"options": RATE, "trials": 2}
    search(tmp_path, {**section, "trials": 1})
    tuning = read_tuning(tmp_path / "t.yaml", TinyPlugins(), {"trials": 2})
    study = open_study(tmp_path / "out", "t", None, tuning)
    assert ask(study, tuning, tmp_path / "elsewhere") is not None
    outcome, _ = search(tmp_path, section)
    assert [t.state for t in outcome.search.trials] == ["done", "running"]


@pytest.mark.filterwarnings("error")
def test_only_our_own_use_of_what_is_experimental_is_silent(tmp_path: Path) -> None:
    tuning = read_tuning(write(tmp_path, {"options": RATE, "trials": 1}), TinyPlugins(), {})
    _sampler(import_optuna(), tuning, 0, workers=2)
    with pytest.raises(optuna.exceptions.ExperimentalWarning):
        warnings.warn("of another library", optuna.exceptions.ExperimentalWarning, stacklevel=1)


def test_the_hopeless_are_ended_early(tmp_path: Path) -> None:
    # five that learn, then some that cannot
    rates = [0.05, 0.06, 0.07, 0.08, 0.09, 1e-9, 2e-9]
    section = {"options": {"learning_rate": rates}, "sampler": "grid", "trials": 7, "warmup": 2}
    outcome, said = search(tmp_path, section, iterations=20, eval_every=10)
    by_rate = {t.options["learning_rate"]: t for t in outcome.search.trials}
    assert set(by_rate) == set(rates)
    pruned = [t for t in outcome.search.trials if t.state == "pruned"]
    assert pruned
    assert all("ended early, validation" in line for line in said.split("\n") if "ended" in line)
    for trial in pruned:
        assert trial.number >= 4
        assert trial.curve[-1][0] >= 10
        earlier = [t for t in outcome.search.trials[: trial.number] if t.state == "done"]
        at = trial.curve[-1][0]
        figures = sorted(dict(t.curve)[at] for t in earlier)
        median = (figures[(len(figures) - 1) // 2] + figures[len(figures) // 2]) / 2
        assert min(value for _, value in trial.curve) > median
        assert not list((tmp_path / "out" / trial.folders[0] / "checkpoint").glob("*"))
    assert outcome.search.best is not None
    assert outcome.search.best.options["learning_rate"] >= 0.05


@pytest.mark.long
def test_a_grid_ends_by_itself(tmp_path: Path) -> None:
    options = {"learning_rate": [0.1, 0.2], "suite.examples": {"low": 8, "high": 24, "step": 8}}
    section = {"options": options, "sampler": "grid", "trials": 50, "pruner": "none"}
    outcome, said = search(tmp_path, section, iterations=2, eval_every=1)
    tried = {tuple(trial.options.values()) for trial in outcome.search.trials}
    assert tried == {(rate, n) for rate in (0.1, 0.2) for n in (8, 16, 24)}
    assert "[6/6]" in said
    again, said = search(tmp_path, section, iterations=2, eval_every=1)
    assert told(again) == told(outcome)
    # a process that was killed between naming a combination and running it loses none
    search(tmp_path, {**section, "trials": 2}, "cut", iterations=2, eval_every=1)
    tuning = read_tuning(tmp_path / "t.yaml", TinyPlugins(), {"trials": 50})
    study = open_study(tmp_path / "cut", "t", None, tuning)
    study.enqueue_trial(_grid(tuning)[2])
    third, _ = search(tmp_path, section, "cut", iterations=2, eval_every=1)
    assert told(third) == told(outcome)
    assert not said.count("trial ")


def test_failures_are_told_and_three_of_them_are_enough(tmp_path: Path) -> None:
    section = {"options": {"learning_rate": [1e30, 1e35, 1e37]}, "trials": 4, "sampler": "random"}
    with pytest.raises(MtlError, match=r"the first 3 trials failed, the last one thus: .*nan"):
        search(tmp_path, section)
    rows = (tmp_path / "out" / "trials.csv").read_text().split("\n")[1:4]
    assert all(",failed," in row and "nan" in row for row in rows)
    assert not (tmp_path / "out" / "best.yaml").exists()
    tuning = read_tuning(tmp_path / "t.yaml", TinyPlugins())
    study = open_study(tmp_path / "out", "t", None, tuning)
    assert [t.state for t in study.trials] == [optuna.trial.TrialState.FAIL] * 3


def test_nothing_is_ever_chosen_by_test(tmp_path: Path) -> None:
    suite = {"name": "tiny", "validation": False}
    with pytest.raises(MtlError, match=r"'tiny' has no validation examples .*\(never by test\)"):
        search(tmp_path, {"options": RATE, "trials": 2}, suite=suite)


@pytest.mark.parametrize(
    ("section", "keys", "message"),
    [
        ({}, {}, "tune.options is missing"),
        ({"options": {}}, {}, "tune.options should name at least one option"),
        ({"options": {"learning_rat": [1, 2]}}, {}, "tune.options.learning_rat: .*'learning_rate'"),
        ({"options": {"learning_rate": [0.1]}}, {}, "two choices or more"),
        ({"options": {"learning_rate": [0.1, 0.1]}}, {}, "two choices or more, all different"),
        ({"options": {"learning_rate": 0.1}}, {}, "list of choices, or a range .* found 0.1"),
        ({"options": {"learning_rate": {"low": 1}}}, {}, "learning_rate.high is missing"),
        ({"options": {"learning_rate": {"low": 2, "high": 1}}}, {}, "low should be below high"),
        ({"options": {"learning_rate": {"low": 0, "high": 1, "log": True}}}, {}, "above 0"),
        ({"options": {"learning_rate": [0.1, "fast"]}}, {}, "strategy.learning_rate .*'fast'"),
        ({"options": RATE, "sampler": "tpes"}, {}, "tune.sampler should be 'tpe'"),
        ({"options": RATE, "sampler": "grid"}, {}, "range from 0.0001 to 1.0 without one"),
        ({"options": RATE, "trails": 3}, {}, "did you mean 'tune.trials'"),
        ({"options": {"seed": [1, 2]}}, {}, "a seed is no option; see tune.seeds"),
        ({"options": RATE}, {"eval_every": 6}, "no trial can be ended early: lower it"),
        ({"options": RATE}, {"iteration": 6}, "did you mean 'iterations'"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_before_anything_starts(
    tmp_path: Path, section: dict[str, Any], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(MtlError, match=message):
        search(tmp_path, section, **keys)
    assert not (tmp_path / "out").exists()


def test_a_config_without_the_section_is_told_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(dump_yaml(BASE))
    with pytest.raises(MtlError, match="has no section tune: it says what is searched"):
        read_tuning(path, TinyPlugins())


@pytest.mark.long
def test_importances_are_shown_where_there_are_enough_trials(tmp_path: Path) -> None:
    options = {**RATE, "python_noise": [True, False]}
    section = {"options": options, "trials": 12, "pruner": "none", "sampler": "random"}
    outcome, _ = search(tmp_path, section, iterations=20, eval_every=10)
    shares = outcome.search.importances
    assert set(shares) == set(options)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["learning_rate"] > 0.5
    assert "Which options matter" in (tmp_path / "out" / "report.html").read_text()


def test_a_record_orders_by_figure_then_by_number() -> None:
    from mtl_framework.reports.trials import SearchRecord

    trials = [
        TrialRecord(0, "done", {}, 2.0),
        TrialRecord(1, "done", {}, 1.0),
        TrialRecord(2, "pruned", {}, 0.5),
        TrialRecord(3, "done", {}, 1.0),
    ]
    found = SearchRecord("t", "error %", trials)
    assert [trial.number for trial in found.done] == [1, 3, 0]
    assert found.best is trials[1]
    assert SearchRecord("t", "error %", trials[2:3]).best is None
