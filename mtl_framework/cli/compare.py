"""``mtl compare``."""

from pathlib import Path
from typing import Annotated

import typer

from ..support.interrupts import Interrupted
from . import options
from .console import load_plugins, say_error, stderr, stdout

COMPARISONS = Path("comparisons")


def compare(
    config: Annotated[Path, typer.Argument(help="YAML file; see examples/.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder of the comparison. [default: comparisons/FILE]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Runs at a time; they share the machine's threads."),
    ] = None,
    gpus_per_run: Annotated[
        float | None,
        typer.Option("--gpus-per-run", help="GPUs of each run; 0.5: two runs share one."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="auto|ADDRESS", help="Run on a Ray cluster (extra [ray])."),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Number of seeds.")] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", help="Steps of a run.")] = None,
    data_root: options.DataRoot = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, mps or cuda.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs, what is done, and an estimate.")
    ] = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print comparison.json instead of tables.")
    ] = False,
) -> int:
    """Run every strategy of a config with every seed; say which is better, and if that is luck.

    A comparison that was interrupted goes on when the same command is given again; finished runs
    are never repeated, failed ones are tried again.
    """
    from ..comparisons.command import Resources, compare
    from ..comparisons.files import JSON

    directory = output or COMPARISONS / config.stem
    overrides = {
        "seeds": seeds,
        "iterations": iterations,
        "device": device,
        "suite.data_root": data_root,
    }
    out, err = stdout(quiet or as_json), stderr(quiet, log_file)
    outcome = compare(
        config,
        directory,
        load_plugins(),
        Resources(workers, gpus_per_run, ray),
        out,
        err,
        overrides,
        dry_run,
    )
    if dry_run:
        return 0
    if outcome.signal is not None:
        text = f"all saved in {directory}; go on with the same command"
        raise Interrupted(outcome.signal, text)
    for item in outcome.failed:
        say_error(f"{item.folder}: {item.status.error}", label="failed")
    if as_json:
        typer.echo((directory / JSON).read_text(encoding="utf-8"), nl=False)
    out.print(f"files: {directory}", soft_wrap=True)
    return 1 if outcome.failed else 0
