"""``mtl run`` trains the tasks of a suite together."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..support.alive import alive
from ..support.errors import MtlError
from . import options
from .console import load_plugins, stderr, stdout
from .processes import several, started_here

if TYPE_CHECKING:
    from ..networks.result import Result


def run(
    context: typer.Context,
    strategy: options.Strategy = None,
    backbone: options.Backbone = None,
    suite: options.Suite = None,
    data_root: options.DataRoot = None,
    iterations: options.Iterations = None,
    seed: options.Seed = None,
    device: options.Device = None,
    precision: options.Precision = None,
    eval_every: options.EvalEvery = None,
    preset: options.Preset = None,
    settings: options.Settings = None,
    config: options.ConfigFile = None,
    output: options.RunOutput = None,
    resume: options.Resume = False,
    show_test: options.ShowTest = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
    as_json: options.RunJson = False,
    json_lines: options.JsonLines = False,
    dry_run: options.RunDryRun = False,
    processes: options.Processes = None,
) -> None:
    """Train the tasks of a suite together, evaluate, and say where the results lie."""
    # Numbers stay text here: the config checks them, with one kind of message for all its keys.
    with alive(stderr(quiet), "loading plugins"):
        from ..runs.request import Request

    suites = options.located(suite, data_root)
    flags: dict[str, Any] = {"strategy": strategy, "backbone": backbone, "suite": suites}
    flags |= {"iterations": iterations, "seed": seed, "device": device, "precision": precision}
    flags |= {"eval_every": eval_every, "preset": preset}
    if as_json and json_lines:
        raise MtlError("--json and --json-lines exclude each other")
    if dry_run and resume:
        raise MtlError("--dry-run shows a run from its beginning: leave out --resume")
    request = Request(flags, options.settings_of(settings), config, output, resume)
    plugins = load_plugins(quiet)
    if dry_run:
        from ..runs.dry_run import preview

        shown = preview(*request.resolved(plugins), plugins)
        stdout().print(str(shown), markup=False, soft_wrap=True)
        return
    status = started_here(processes, context.obj)
    if status is not None:
        sys.exit(status)  # not by Typer, for whom 130 is a Ctrl-C that nobody has answered
    with several() as speaking:
        if json_lines and speaking:
            from .json_lines import JsonLines

            plugins.register(JsonLines(typer.echo), "json lines")
        console = stderr(quiet, log_file, show_test) if speaking else stderr(quiet=True)
        with alive(console, "preparing the run"):
            started = request.start(plugins, console)
        result = started.execute()
    if speaking and not json_lines:
        _show(result, started.directory, as_json, quiet)


def _show(result: "Result", directory: Path, as_json: bool, quiet: bool) -> None:
    from .summary import print_summary

    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result), indent=2))
    else:
        print_summary(result, directory, stdout(quiet))
