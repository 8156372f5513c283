"""``mtl run``."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..runs.resolve import former, resolve
from ..support.allocator import keep_freed_memory
from ..support.errors import MtlError
from . import options
from .console import load_plugins, stderr, stdout

RUNS = Path("runs")


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
    parsed = options.settings_of(settings)
    if resume and (config or preset):
        raise MtlError("--resume reads the run's own config: leave out --config and --preset")
    if resume and output is not None:
        if not (output / "config.yaml").is_file():
            raise MtlError(f"cannot resume: there is no run in {output} (no config.yaml)")
        config = output / "config.yaml"
    layers = options.layers_of(config, flags)

    keep_freed_memory()
    plugins = load_plugins()
    if resume and config:
        layers[0] = former(layers[0], plugins)
    complete = resolve(plugins, layers, parsed)
    from ..runs.names import run_name

    if output is None:
        first = RUNS / run_name(complete.config, plugins)
        output = existing_folder(first) if resume else free_folder(first)
        if resume:
            layers = options.layers_of(output / "config.yaml", flags)
            layers[0] = former(layers[0], plugins)
            complete = resolve(plugins, layers, parsed)
    from ..runs.run import Run
    from .summary import print_summary

    console = stderr(quiet, log_file, show_test)
    started = Run.start(complete, plugins, output, resume=resume, console=console)
    result = started.execute()
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result), indent=2))
    else:
        print_summary(result, output, stdout(quiet))


def _located(suite: str | None, data_root: str) -> dict[str, str]:
    return {**({} if suite is None else {"name": suite}), "data_root": data_root}


def free_folder(first: Path) -> Path:
    """The default folder of a new run, numbered where that is taken."""
    folder, number = first, 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


def existing_folder(first: Path) -> Path:
    """The default folder of a run that goes on.

    Raises:
        MtlError: if there is no such run, or there are several.
    """
    if not (first / "config.yaml").is_file():
        raise MtlError(f"--resume finds no run in {first}; name its folder with --output")
    if first.with_name(f"{first.name}-2").exists():
        raise MtlError(f"there are several runs {first}*; name one with --output")
    return first
