"""``mtl run``."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .console import load_plugins, stderr, stdout


def run(
    strategy: options.Strategy = None,
    backbone: options.Backbone = None,
    suite: options.Suite = None,
    data_root: options.DataRoot = None,
    iterations: Annotated[
        str | None,
        typer.Option("--iterations", metavar="INT", help="Steps of the strategy's training loop."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="INT", help="Of weights, batches and sampling.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N.")
    ] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="fp32 or bf16.")] = None,
    eval_every: Annotated[
        str | None,
        typer.Option("--eval-every", metavar="INT", help="Iterations between evaluations."),
    ] = None,
    preset: options.Preset = None,
    settings: options.Settings = None,
    config: options.ConfigFile = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Folder of the run; default: runs/SUITE-STRATEGY-BACKBONE-sSEED, with the options "
            "that differ from the defaults.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --output.")
    ] = False,
    show_test: Annotated[
        bool, typer.Option("--show-test", help="Show figures of test examples while training.")
    ] = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON instead of tables.")
    ] = False,
) -> None:
    """Train the tasks of a suite together, evaluate, and say where the results lie."""
    # Numbers stay text here: the config checks them, with one kind of message for all its keys.
    from ..runs.request import Request

    flags: dict[str, Any] = {
        "strategy": strategy,
        "backbone": backbone,
        "suite": suite if data_root is None else _located(suite, data_root),
        "iterations": iterations,
        "seed": seed,
        "device": device,
        "precision": precision,
        "eval_every": eval_every,
        "preset": preset,
    }
    request = Request(flags, options.settings_of(settings), config, output, resume)
    plugins = load_plugins()
    started = request.start(plugins, stderr(quiet, log_file, show_test))
    result = started.execute()
    from .summary import print_summary

    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result), indent=2))
    else:
        print_summary(result, started.directory, stdout(quiet))


def _located(suite: str | None, data_root: str) -> dict[str, str]:
    return {**({} if suite is None else {"name": suite}), "data_root": data_root}
