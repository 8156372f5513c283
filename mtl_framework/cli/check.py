"""``mtl check`` looks at data without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..support.alive import alive
from ..support.errors import MtlError, ProblemsError
from ..support.terminal import Column, fitted_table
from . import options
from .console import load_plugins, say_error, stderr, stdout

if TYPE_CHECKING:
    from ..data.tasks import Suite


def check(
    suite: options.Suite = None,
    data_root: options.DataRoot = None,
    settings: options.Settings = None,
    config: options.ConfigFile = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Folder for contact sheets; default: check-SUITE, numbered if taken."
        ),
    ] = None,
    sheets: Annotated[
        bool, typer.Option("--sheets/--no-sheets", help="Write a contact sheet of every task.")
    ] = True,
) -> None:
    """Look at a suite's data without training; exit status 1 where a run would refuse it."""
    from ..runs.assembly import check_memory, find_suite
    from ..runs.choices import check_validation
    from ..runs.request import free_folder
    from ..runs.resolve import resolve

    flags: dict[str, Any] = {"suite": options.located(suite, data_root)}
    plugins = load_plugins()
    complete = resolve(plugins, options.layers_of(config, flags), options.settings_of(settings))
    try:
        with alive(stderr(), "reading the data"):
            data = find_suite(complete.config, plugins)
            check_validation(complete.config.training, data)
            check_memory(complete.config, data)
    except ProblemsError as error:
        for problem in error.problems:
            say_error(problem, label="refused")
        raise typer.Exit(1) from None
    except MtlError as error:
        say_error(str(error), label="refused")
        raise typer.Exit(1) from None
    _print(data)
    if sheets:
        folder = output or free_folder(Path(f"check-{data.name}"))
        _write_sheets(data, folder)


def _print(data: "Suite") -> None:
    from ..data.overview import overview

    tasks = overview(data, copies=True)
    splits = list(dict.fromkeys(split for task in tasks for split in task.examples))
    rows = [
        [
            task.name,
            task.kind,
            *(str(task.examples.get(split, 0)) for split in splits),
            str(task.missing),
            task.inputs,
            task.labels,
        ]
        for task in tasks
    ]
    columns = [
        Column("task"),
        Column("kind"),
        *(Column(split, right=True) for split in splits),
        Column("no label", right=True, importance=1),
        Column("input", importance=2),
        Column("labels", importance=3, prose=True),
    ]
    console = stdout()
    console.print(fitted_table(columns, rows, console.width))
    for task in tasks:
        if task.copies:
            inputs = "1 input is" if task.copies == 1 else f"{task.copies} inputs are"
            _say(f"{task.name}: {inputs} in two splits")
    files = data.record.get("pictures")
    if isinstance(files, dict) and files.get("from_to"):
        modes = ", ".join(f"{count} {mode}" for mode, count in files["modes"].items())
        low, high = ("x".join(map(str, size)) for size in files["from_to"])
        sizes = low if low == high else f"{low} to {high}, {files['sizes']} different ones"
        _say(f"image files: {modes}; width and height {sizes}")
    for note in data.notes:
        _say(note)


def _write_sheets(data: "Suite", folder: Path) -> None:
    from ..export.about import folder_name
    from ..reports.contact_sheet import contact_sheet
    from ..support.files import make_folder, replacing

    for number, task in enumerate(data.tasks):
        picture = contact_sheet(task)
        if picture is None:
            continue
        make_folder(folder)
        file = folder / f"{folder_name(data.task_names, number)}.png"
        with replacing(file) as temporary:
            temporary.write_bytes(picture)
        _say(f"contact sheet: {file}")


def _say(line: str) -> None:
    stdout().print(" ".join(line.splitlines()), soft_wrap=True)  # names may have several
