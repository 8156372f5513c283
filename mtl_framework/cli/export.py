"""``mtl export`` takes networks out of a run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..support.errors import MtlError
from . import saved
from .console import load_plugins, stdout


class Format(StrEnum):
    """An exported network's files have one of these formats."""

    safetensors = "safetensors"
    program = "torch-export"
    onnx = "onnx"


Task = Annotated[
    str | None, typer.Option("--task", help="Name of the task whose network is exported.")
]
Every = Annotated[
    bool,
    typer.Option(
        "--all", help="Export all tasks into one folder, every distinct weight stored once."
    ),
]
Joint = Annotated[
    bool,
    typer.Option(
        "--joint",
        help="Export all tasks as one program, in which what they share is computed once.",
    ),
]
Form = Annotated[
    Format,
    typer.Option(
        "--format",
        help="Format of the files; safetensors: weights for timm; torch-export, onnx: programs "
        "that run alone.",
    ),
]
Probabilities = Annotated[
    bool,
    typer.Option(
        "--probabilities", help="Let an exported program return probabilities instead of logits."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="Folder of the files; default: RUN/export/TASK or RUN/export."),
]


def export(
    run: saved.Folder,
    task: Task = None,
    every: Every = False,
    joint: Joint = False,
    form: Form = Format.safetensors,
    checkpoint: saved.Checkpoint = saved.Which.last,
    data_root: saved.DataRoot = None,
    probabilities: Probabilities = False,
    output: Output = None,
) -> None:
    """Export tasks' networks of a run, to be used without this framework."""
    if (task is not None) + every + joint != 1:
        raise MtlError("export needs one of --task NAME, --all and --joint")
    if joint and form is Format.safetensors:
        raise MtlError("--joint writes a program: add --format torch-export or --format onnx")
    if every and form is not Format.safetensors:
        raise MtlError(
            f"--all stores weights, --format {form.value} a program; use --task or --joint"
        )
    if probabilities and form is Format.safetensors:
        raise MtlError("--probabilities needs --format torch-export or onnx")
    from .. import export as exports
    from ..export.about import folder_name
    from ..runs.load import load_run

    loaded = load_run(run, which=checkpoint.value, plugins=load_plugins(), data_root=data_root)
    if joint:
        folder = output or run / "export"
        written = {Format.program: exports.export_joint, Format.onnx: exports.export_joint_onnx}
        stdout().print(f"{written[form](loaded, folder, probabilities).parameters:,} parameters")
    elif task is None:
        folder = output or run / "export"
        exports.export_all(loaded, folder)
    else:
        number = loaded.suite.index(task)
        folder = output or run / "export" / folder_name(loaded.suite.task_names, number)
        if form is Format.safetensors:
            exports.export_network(loaded, number, folder)
        else:
            programs = {Format.program: exports.export_program, Format.onnx: exports.export_onnx}
            about = programs[form](loaded, number, folder, probabilities)
            stdout().print(f"{about.parameters:,} parameters")
            if isinstance(about.size, str):
                stdout().print(f"note: {about.size}", markup=False, soft_wrap=True)
    for file in sorted(folder.iterdir()):
        if file.is_file():
            stdout().print(f"{file}  {file.stat().st_size:,} bytes", markup=False, soft_wrap=True)
