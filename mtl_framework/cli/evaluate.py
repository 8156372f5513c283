"""``mtl evaluate`` measures a run's networks again."""

import dataclasses
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..support.alive import alive
from ..support.terminal import Column, fitted_table
from . import options, saved
from .console import load_plugins, say_warning, stderr, stdout

if TYPE_CHECKING:
    from ..networks.evaluation import Evaluation
    from ..runs.load import LoadedRun


class Seen(StrEnum):
    """What is done with test examples that the run was trained on."""

    refuse = "refuse"
    warn = "warn"
    allow = "allow"


def evaluate(
    run: saved.Folder,
    suite: options.Suite = None,
    checkpoint: saved.Checkpoint = saved.Which.last,
    data_root: saved.DataRoot = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Option of --suite. Repeatable."),
    ] = None,
    seen: Annotated[
        Seen,
        typer.Option(
            "--seen",
            help="What to do where --suite has test examples that the run was trained on: refuse "
            "images; warn: measure them and say so; allow: do not look.",
        ),
    ] = Seen.refuse,
    device: saved.Device = "cpu",
    as_json: saved.Json = False,
) -> None:
    """Measure a run's networks again, on its own examples or on those of another suite."""
    from ..runs.load import load_run
    from ..runs.seen_in_training import check_unseen
    from ..support.errors import MtlError

    parsed = options.settings_of(settings)
    if parsed and suite is None:
        raise MtlError("--set gives options of --suite, which is missing")
    plugins = load_plugins()
    with alive(stderr(), "evaluating"):
        loaded = load_run(
            run, which=checkpoint.value, device=device, plugins=plugins, data_root=data_root
        )
        other, told = None, []
        if suite is not None:
            given = {".".join(setting.key): setting.value for setting in parsed}
            other = plugins.suite(suite)(**given)
            told = [] if seen is Seen.allow else loaded.seen_in_training(other)
            if seen is Seen.refuse:
                check_unseen(told)
        evaluation = loaded.evaluate(other, "allow")
    for line in told:
        say_warning(str(line))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(evaluation), indent=2))
        return
    _print(loaded, evaluation)


def _print(loaded: "LoadedRun", evaluation: "Evaluation") -> None:
    from ..data.metrics.shown import shown_value

    columns = [Column("task"), Column("metric", importance=2)]
    for split in evaluation.splits:
        columns.append(Column(split, right=True, importance=0 if split == "test" else 1))
        columns.append(Column(f"{split} loss", right=True, importance=3))
    rows: list[list[str | Text]] = []
    for task in loaded.suite.tasks:
        row: list[str | Text] = [task.name, task.metric]
        for metrics in evaluation.splits.values():
            row.append(shown_value(metrics.per_task[task.name], task.metric))
            row.append(f"{metrics.loss_per_task[task.name]:.4f}")
        rows.append(row)
    means = [metrics.error_mean for metrics in evaluation.splits.values()]
    if all(mean is not None for mean in means):
        unit = loaded.suite.tasks[0].metric  # that of all tasks, as they have a mean
        cells = [cell for mean in means for cell in (Text(shown_value(mean, unit), "bold"), "")]
        rows.append([Text("mean", "bold"), "", *cells])
    console = stdout()
    console.print(fitted_table(columns, rows, console.width))
