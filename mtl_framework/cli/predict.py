"""``mtl predict`` applies networks of a run's tasks to image files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..support.alive import alive
from ..support.terminal import Column, fitted_table
from . import saved
from .console import load_plugins, say_warning, stderr, stdout

if TYPE_CHECKING:
    from ..runs.image_predictions import ImagePredictions
    from ..runs.load import LoadedRun

MOST_LINES = 10  # files left out that are told one by one


def predict(
    run: saved.Folder,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of images.")
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            help="Name of the task whose network predicts, more than once for several; not needed "
            "if it is the only one.",
        ),
    ] = None,
    all_tasks: Annotated[
        bool, typer.Option("--all-tasks", help="Predict with every task's network.")
    ] = False,
    checkpoint: saved.Checkpoint = saved.Which.last,
    data_root: saved.DataRoot = None,
    device: saved.Device = "cpu",
    as_json: saved.Json = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Folder for predicted maps, as NPY and PNG, of several tasks one each below it.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out, and tell, files that cannot be read.")
    ] = False,
) -> None:
    """Print what tasks' networks predict for images, and write the maps that they predict."""
    from ..data.colour_tags import colour_lines, unconverted_in
    from ..data.preprocessing import image_files
    from ..runs.image_predictions import ImagePredictions
    from ..runs.load import load_run

    files = image_files(images)
    plugins = load_plugins()
    with alive(stderr(), "predicting"):
        loaded = load_run(
            run, which=checkpoint.value, device=device, plugins=plugins, data_root=data_root
        )
        predictions = ImagePredictions(loaded, _tasks_of(loaded, task, all_tasks), skip_bad)
        several = all_tasks or len(predictions.tasks) > 1
        found = predictions.of(files, _folders(predictions, files, output, several))
        colours = colour_lines(unconverted_in([x for x in files if x not in predictions.left_out]))
    _tell_left_out([*predictions.left_out.values()], len(files))
    for line in colours:
        say_warning(line)
    if as_json:
        named = {name: {"task": name} if several else {} for name in found}
        rows = [named[name] | row for name, given in found.items() for row in given]
        typer.echo(json.dumps(rows, indent=2, allow_nan=False))
        return
    _print(found, several)
    if output is None and any(map(predictions.has_maps, found)):
        stdout().print("maps as files: --output FOLDER")


def _print(found: dict[str, list[dict[str, Any]]], several: bool) -> None:
    """Print a table for each task, below its name where there are several."""
    console = stdout()
    for number, (task, given) in enumerate(found.items()):
        if several:
            console.print(f"\n{task}" if number else task)
        columns = [
            Column(name, right=place > 1, importance=max(0, place - 1))
            for place, name in enumerate(given[0])
        ]
        rows = [
            [f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()] for row in given
        ]
        console.print(fitted_table(columns, rows, console.width))


def _tell_left_out(left_out: list[str], files: int) -> None:
    for line in left_out[:MOST_LINES]:
        say_warning(f"left out: {line}")
    if len(left_out) > MOST_LINES:
        say_warning(f"left out {len(left_out)} of {files} files, {MOST_LINES} of them named above")


def _tasks_of(loaded: "LoadedRun", given: list[str] | None, all_tasks: bool) -> list[str]:
    """Return the names of the tasks that predict: those asked for, else the only one.

    Raises:
        MtlError: naming the tasks, if none of several is asked for, or there is none of a name.
    """
    from ..runs.known_examples import shortened
    from ..support.errors import MtlError

    names = [each.name for each in loaded.suite.tasks]
    if given and all_tasks:
        raise MtlError("--all-tasks and --task exclude each other: give one of them")
    for name in given or ():
        loaded.suite.index(name)
    if given:
        return list(dict.fromkeys(given))
    if all_tasks or len(names) == 1:
        return names
    raise MtlError(
        f"predict needs --task NAME, or --all-tasks; the run has {len(names)} tasks: "
        f"{shortened(names)}"
    )


def _folders(
    predictions: "ImagePredictions", files: list[Path], output: Path | None, several: bool
) -> dict[str, Path]:
    """Return the folders for maps by task, after a look at whether the maps' files are free."""
    from ..export.about import folder_name
    from ..runs.map_files import check_free
    from ..support.errors import MtlError

    if output is None:
        return {}
    tasks = [task for task in predictions.tasks if predictions.has_maps(task)]
    if not tasks:
        asked = ", ".join(map(repr, predictions.tasks))
        raise MtlError(f"--output is for tasks with maps, which {asked} has none of: leave it out")
    suite = predictions.loaded.suite
    below = {task: folder_name(suite.task_names, suite.index(task)) for task in tasks}
    folders = {task: output / below[task] if several else output for task in tasks}
    for folder in folders.values():
        check_free(files, folder)
    return folders
