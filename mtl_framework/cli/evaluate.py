"""``mtl evaluate``."""

import dataclasses
import json
from typing import Annotated

import typer
from rich.table import Table

from . import options, saved
from .console import load_plugins, stdout


def evaluate(
    run: saved.Folder,
    suite: options.Suite = None,
    checkpoint: saved.Checkpoint = saved.Which.last,
    data_root: saved.DataRoot = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Option of --suite. Repeatable."),
    ] = None,
    device: saved.Device = "cpu",
    as_json: saved.Json = False,
) -> None:
    """Measure a run's networks again, on its own examples or on those of another suite."""
    from ..runs.load import load_run
    from ..support.errors import MtlError

    parsed = options.settings_of(settings)
    if parsed and suite is None:
        raise MtlError("--set gives options of --suite, which is missing")
    plugins = load_plugins()
    loaded = load_run(
        run, which=checkpoint.value, device=device, plugins=plugins, data_root=data_root
    )
    other = None
    if suite is not None:
        given = {".".join(setting.key): setting.value for setting in parsed}
        other = plugins.suite(suite)(**given)
    evaluation = loaded.evaluate(other)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(evaluation), indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task", overflow="fold")
    table.add_column("metric")
    for split in evaluation.splits:
        table.add_column(split, justify="right")
        table.add_column(f"{split} loss", justify="right")
    for task in loaded.suite.tasks:
        row = [task.name, task.objective.metric]
        for metrics in evaluation.splits.values():
            row.append(f"{metrics.per_task[task.name]:.2f}")
            row.append(f"{metrics.loss_per_task[task.name]:.4f}")
        table.add_row(*row)
    means = [metrics.error_mean for metrics in evaluation.splits.values()]
    if all(mean is not None for mean in means):
        cells = [cell for mean in means for cell in (f"{mean:.2f}", "")]
        table.add_row("mean", "", *cells, style="bold")
    stdout().print(table)
