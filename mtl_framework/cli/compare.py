"""``mtl compare`` runs and compares strategies from one config."""

from pathlib import Path
from typing import Any

import typer

from ..support.alive import alive
from ..support.errors import MtlError
from ..support.interrupts import Interrupted
from . import options
from .console import load_plugins, say_error, stderr, stdout
from .processes import alone

COMPARISONS = Path("comparisons")


def compare(
    config: options.ComparisonFile,
    output: options.ComparisonOutput = None,
    workers: options.Workers = None,
    gpus_per_run: options.GpusPerRun = None,
    ray: options.Ray = None,
    only: options.Only = None,
    seeds: options.Seeds = None,
    iterations: options.RunIterations = None,
    data_root: options.DataRoot = None,
    device: options.Device = None,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
    as_json: options.ComparisonJson = False,
    json_lines: options.ComparisonLines = False,
) -> int:
    """Run every strategy of a config with every seed; say which is better, and if that is luck.

    A comparison that was interrupted goes on when the same command is given again; finished runs
    are never repeated, failed ones are tried again.
    """
    alone("compare", "--workers says how many of its runs train at a time")
    if as_json and json_lines:
        raise MtlError("--json and --json-lines exclude each other")
    if dry_run and (as_json or json_lines):
        raise MtlError("--dry-run prints a table: leave out --json and --json-lines")
    out, err = stdout(quiet or as_json or json_lines), stderr(quiet, log_file)
    err.print(f"reading {config}", soft_wrap=True)  # before what takes seconds to import
    with alive(err, f"reading {config}"):
        from ..comparisons.command import compare
        from ..comparisons.files import JSON
        from ..comparisons.resources import Resources
        from ..reports.failures import failure_lines
        from .json_lines import ComparisonLines

    directory = output or COMPARISONS / config.stem
    lines = ComparisonLines(directory, typer.echo) if json_lines else None
    overrides: dict[str, Any] = {"seeds": seeds, "iterations": iterations, "device": device}
    overrides["suite.data_root"] = data_root
    resources = Resources(workers, gpus_per_run, ray)
    show = None if lines is None else lines.show
    plugins, chosen = load_plugins(quiet), only or []
    outcome = compare(
        config, directory, plugins, resources, out, err, overrides, dry_run, show, chosen
    )
    if dry_run:
        return 0
    if lines is not None:
        lines.finish(directory / JSON, outcome.signal)
    if outcome.signal is not None:
        text = f"all saved in {directory}; go on with the same command"
        raise Interrupted(outcome.signal, text)
    for line in failure_lines(outcome.records):
        say_error(line, label="failed")
    if as_json:
        typer.echo((directory / JSON).read_text(encoding="utf-8"), nl=False)
    out.print(f"files: {directory}", soft_wrap=True)
    return 1 if outcome.failed else 0
