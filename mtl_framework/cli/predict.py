"""``mtl predict``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..support.alive import alive
from ..support.terminal import Column, fitted_table
from . import saved
from .console import load_plugins, stderr, stdout

if TYPE_CHECKING:
    from ..runs.load import LoadedRun

CHUNK = 64  # images read and run at a time


def predict(
    run: saved.Folder,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of images.")
    ],
    task: Annotated[str, typer.Option("--task", help="Name of the task whose network predicts.")],
    checkpoint: saved.Checkpoint = saved.Which.last,
    data_root: saved.DataRoot = None,
    device: saved.Device = "cpu",
    as_json: saved.Json = False,
) -> None:
    """Say what one task's network sees in images."""
    from ..data.preprocessing import image_files
    from ..runs.load import load_run

    files = image_files(images)
    found: list[dict[str, Any]] = []
    with alive(stderr(), "predicting"):
        loaded = load_run(
            run, which=checkpoint.value, device=device, plugins=load_plugins(), data_root=data_root
        )
        loaded.suite.index(task)
        for start in range(0, len(files), CHUNK):
            found += _predict(loaded, task, files[start : start + CHUNK])
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


def _predict(loaded: "LoadedRun", task: str, files: list[Path]) -> list[dict[str, Any]]:
    number = loaded.suite.index(task)
    outputs = loaded.outputs(task, loaded.preprocessings[number].read(files))
    described = loaded.suite.tasks[number].objective.describe(outputs)
    return [{"image": str(file), **row} for file, row in zip(files, described, strict=True)]
