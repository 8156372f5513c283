"""A search writes files: the best config, a table of all trials, and the report."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...networks.result import Result
from ...plugins.manager import Plugins
from ...reports.trials import SearchRecord, TrialRecord, TrialState, plain
from ...runs.config import RunConfig, dump
from ...support.errors import MtlError
from ...support.files import write_text
from ...support.spreadsheets import csv_cell
from .config import Tuning
from .search import run_folder
from .study import WHY, import_optuna

if TYPE_CHECKING:
    from optuna import Study

BEST, TRIALS = "best.yaml", "trials.csv"
_ENOUGH = 10  # trials that importances need


def record_of(study: "Study", tuning: Tuning, directory: Path, title: str) -> SearchRecord:
    """Return a search in the form that reports read.

    Args:
        study: the study.
        tuning: what is searched.
        directory: folder of the search.
        title: title of the report.
    """
    optuna = import_optuna()
    names: dict[Any, TrialState] = {
        optuna.trial.TrialState.COMPLETE: "done",
        optuna.trial.TrialState.PRUNED: "pruned",
        optuna.trial.TrialState.FAIL: "failed",
    }
    trials = [
        TrialRecord(
            trial.number,
            names.get(trial.state, "running"),
            {d.name: d.value_of(trial.params.get(d.name)) for d in tuning.space},
            trial.value,
            tuple(sorted(trial.intermediate_values.items())),
            trial.user_attrs.get(WHY, ""),
            tuple(run_folder(trial.number, seed) for seed in tuning.seeds),
        )
        for trial in study.get_trials(deepcopy=False)
    ]
    scales = {dimension.name: dimension.is_log for dimension in tuning.space}
    unit = _unit(directory, trials)
    return SearchRecord(title, unit, trials, scales, _importances(optuna, study, trials))


def _unit(directory: Path, trials: list[TrialRecord]) -> str:
    """Return what the figures are: the metric that the tasks have in common."""
    for trial in trials:
        if trial.state == "done":
            try:
                metrics = Result.load(directory / trial.folders[0]).metrics
            except MtlError:  # a run of another machine
                continue
            names = set(metrics.values())
            return names.pop() if len(names) == 1 else "geometric mean of the tasks' metrics"
    return "figure of validation"


def _importances(optuna: Any, study: "Study", trials: list[TrialRecord]) -> dict[str, float]:
    """Return the share of every option in the variance of the figures, by fANOVA.

    Source: Hutter, Hoos and Leyton-Brown, ICML 2014. Empty for fewer than ten trials, or where all
    figures are equal.
    """
    values = [trial.value for trial in trials if trial.state == "done"]
    if len(values) < _ENOUGH or len(set(values)) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def write_best(directory: Path, search: SearchRecord, tuning: Tuning, plugins: Plugins) -> None:
    """Write the config of the best trial, where one has ended, for a run that keeps its weights.

    Raises:
        MtlError: if the file cannot be written.
    """
    best = search.best
    if best is None:
        return
    config = tuning.run_config(plugins, best.options)
    given = any("keep" in layer.values for layer in tuning.layers[1:])
    if not (given or any(setting.key == ("keep",) for setting in tuning.settings)):
        config = config.model_copy(update={"keep": RunConfig().keep})  # the trials' kept none
    chosen = ", ".join(f"{name} {plain(value)}" for name, value in best.options.items())
    head = (
        f"# trial {best.number} of {directory.name}: {search.unit} {best.value:.6g} on validation\n"
        f"# {chosen}\n"
    )
    write_text(directory / BEST, head + dump(config))


def write_trials(directory: Path, search: SearchRecord) -> None:
    """Write a table with a row for every trial.

    Raises:
        MtlError: if the file cannot be written.
    """
    options = list(search.scales)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "validation", "iterations", *map(csv_cell, options), "why"])
    for trial in search.trials:
        reached = trial.curve[-1][0] if trial.curve else ""
        row = [trial.number, trial.state, "" if trial.value is None else trial.value, reached]
        row += [csv_cell(_cell(trial.options[name])) for name in options]
        writer.writerow([*row, csv_cell(trial.why)])
    write_text(directory / TRIALS, text.getvalue())


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float | str) and value is not True else plain(value)
