"""``mtl predict`` applies one task's network to image files."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..support.alive import alive
from ..support.terminal import Column, fitted_table
from . import saved
from .console import load_plugins, say_warning, stderr, stdout

if TYPE_CHECKING:
    from ..runs.load import LoadedRun

CHUNK = 64  # images read and run at a time


def predict(
    run: saved.Folder,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of images.")
    ],
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="Name of the task whose network predicts; not needed if it is the only one.",
        ),
    ] = None,
    checkpoint: saved.Checkpoint = saved.Which.last,
    data_root: saved.DataRoot = None,
    device: saved.Device = "cpu",
    as_json: saved.Json = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Folder for predicted maps, as NPY and PNG; only for tasks with maps."
        ),
    ] = None,
) -> None:
    """Print what one task's network predicts for images, and write the maps that it predicts."""
    from ..data.colour_tags import colour_lines, unconverted_in
    from ..data.preprocessing import image_files
    from ..runs.load import load_run
    from ..runs.map_files import all_or_none

    files = image_files(images)
    found: list[dict[str, Any]] = []
    plugins = load_plugins()
    with alive(stderr(), "predicting"):
        loaded = load_run(
            run, which=checkpoint.value, device=device, plugins=plugins, data_root=data_root
        )
        task = _task_of(loaded, task)
        _check_output(loaded, task, files, output)
        with nullcontext() if output is None else all_or_none(output) as folder:
            for start in range(0, len(files), CHUNK):
                found += _predict(loaded, task, files[start : start + CHUNK], folder)
        colours = colour_lines(unconverted_in(files))
        for row in found if output is not None else ():
            row["map"] = str(output / row["map"])
    for line in colours:
        say_warning(line)
    if as_json:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    columns = [
        Column(name, right=number > 1, importance=max(0, number - 1))
        for number, name in enumerate(found[0])
    ]
    rows = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()] for row in found]
    console = stdout()
    console.print(fitted_table(columns, rows, console.width))
    if output is None and loaded.suite.tasks[loaded.suite.index(task)].objective.is_map:
        console.print("maps as files: --output FOLDER")


def _task_of(loaded: "LoadedRun", task: str | None) -> str:
    """Return the name of the task that predicts: the one that is asked for, else the only one.

    Raises:
        MtlError: naming the tasks, if none of several is asked for, or there is none of that name.
    """
    from ..runs.known_examples import shortened
    from ..support.errors import MtlError

    names = [each.name for each in loaded.suite.tasks]
    if task is not None:
        loaded.suite.index(task)
        return task
    if len(names) == 1:
        return names[0]
    raise MtlError(f"predict needs --task NAME; the run has {len(names)} tasks: {shortened(names)}")


def _check_output(loaded: "LoadedRun", task: str, files: list[Path], output: Path | None) -> None:
    from ..runs.map_files import check_free
    from ..support.errors import MtlError

    if output is None:
        return
    if not loaded.suite.tasks[loaded.suite.index(task)].objective.is_map:
        raise MtlError(f"--output is for tasks with maps, which {task!r} has none of: leave it out")
    check_free(files, output)


def _predict(
    loaded: "LoadedRun", task: str, files: list[Path], folder: Path | None
) -> list[dict[str, Any]]:
    from ..data.objectives import MapObjective
    from ..runs.map_files import write_maps

    number = loaded.suite.index(task)
    outputs = loaded.outputs(task, loaded.preprocessings[number].read(files))
    objective = loaded.suite.tasks[number].objective
    described = objective.describe(outputs)
    if list(described[0]) == ["output 0"] and task not in ("image", "map"):
        described = [{task: row["output 0"]} for row in described]
    rows = [{"image": str(file), **row} for file, row in zip(files, described, strict=True)]
    if folder is not None and isinstance(objective, MapObjective):
        written = write_maps(objective, objective.decode(outputs), files, folder)
        rows = [{**row, "map": paths[0].name} for row, paths in zip(rows, written, strict=True)]
    return rows
