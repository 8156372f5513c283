"""``mtl run`` trains the tasks of a suite together."""

import dataclasses
import json
from typing import Any

import typer

from ..support.alive import alive
from ..support.errors import MtlError
from . import options
from .console import load_plugins, stderr, stdout


def run(
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
) -> None:
    """Train the tasks of a suite together, evaluate, and say where the results lie."""
    # Numbers stay text here: the config checks them, with one kind of message for all its keys.
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
    plugins = load_plugins()
    if dry_run:
        from ..runs.dry_run import preview

        shown = preview(*request.resolved(plugins), plugins)
        stdout().print(str(shown), markup=False, soft_wrap=True)
        return
    if json_lines:
        from .json_lines import JsonLines

        plugins.register(JsonLines(typer.echo), "json lines")
    console = stderr(quiet, log_file, show_test)
    with alive(console, "preparing the run"):
        started = request.start(plugins, console)
    result = started.execute()
    from .summary import print_summary

    if json_lines:
        return
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result), indent=2))
    else:
        print_summary(result, started.directory, stdout(quiet))
