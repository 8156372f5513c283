"""One task's network is exported as a ``torch.export`` program, which runs with torch alone."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ..data.preprocessing import Preprocessing
from ..networks.decoding import with_probabilities
from ..runs.load import LoadedRun
from ..support.errors import MtlError, message_of
from ..support.files import make_folder
from .about import TaskAbout, task_about, write_export

PROGRAM = "model.pt2"
BATCH = 2  # a batch of one would be taken for a constant
SMALLEST, LARGEST = 64, 8192  # height and width of images where they are free
MORE, OTHER = (32, 64), (37, 15)  # pixels beyond the usual size: traced, and tried


class ProgramAbout(BaseModel):
    """This is the content of the JSON beside a program.

    ``batch`` is ``"any"``, or the fixed number of inputs. ``parameters`` counts the network's
    parameters; where a network mixes columns, those of all columns. Where outputs are maps,
    ``size`` holds the smallest and the largest height and width of images, or says why these have
    to be those of ``preprocessing``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["mtl-framework program 1"] = "mtl-framework program 1"
    kind: Literal["torch-export", "onnx"]
    task: TaskAbout
    preprocessing: dict[str, Any]
    batch: int | Literal["any"]
    parameters: int
    file: str
    file_sha256: str
    size: tuple[int, int] | str | None = None


def export_program(
    run: LoadedRun, task: int | str, folder: Path, probabilities: bool = False
) -> ProgramAbout:
    """Write one task's network as ``model.pt2`` and ``model.pt2.json``.

    Before the file gets its name, the program is run, and its outputs have to equal the network's.

    Args:
        run: a loaded run.
        task: name or position of the task.
        folder: the folder for the files; it is made if needed, and an export in it is replaced.
        probabilities: whether outputs are probabilities of classes or labels instead of logits.

    Raises:
        MtlError: if torch cannot export the network, the task has no probabilities, or a file
            cannot be written.
    """

    def write(program: torch.export.ExportedProgram, temp: Path) -> Callable[[Tensor], Tensor]:
        with temp.open("wb") as file:
            torch.export.save(program, file)
        with temp.open("rb") as file:
            saved: Callable[[Tensor], Tensor] = torch.export.load(file).module()
        return saved

    return write_checked(run, task, folder, PROGRAM, "torch-export", write, probabilities)


def write_checked(
    run: LoadedRun,
    task: int | str,
    folder: Path,
    file: str,
    kind: Literal["torch-export", "onnx"],
    write: Callable[[torch.export.ExportedProgram, Path], Callable[[Tensor], Tensor]],
    probabilities: bool = False,
) -> ProgramAbout:
    """Trace one task's network and write it, once the program has been checked.

    Args:
        run: a loaded run.
        task: name or position of the task.
        folder: the folder for the files; it is made if needed, and an export in it is replaced.
        file: name of the program's file; its JSON gets ``.json`` behind it.
        kind: format of the file.
        write: function that writes the program to a path, and returns it loaded from there.
        probabilities: whether outputs are probabilities of classes or labels instead of logits.

    Raises:
        MtlError: if torch cannot trace the network, the written program has other outputs, or a
            file cannot be written.
    """
    number = run.suite.index(task)
    model = task_network(run, number, probabilities)
    name, preprocessing = run.backbones[number].name, run.preprocessings[number]
    sizes = run.suite.tasks[number].objective.is_map
    traced = trace(model, preprocessing, name, sizes)
    make_folder(folder)

    def describe(digest: str) -> ProgramAbout:
        return ProgramAbout(
            kind=kind,
            task=task_about(run, number, probabilities),
            preprocessing=preprocessing.to_plain(),
            batch=traced.batch,
            parameters=sum(p.numel() for p in model.parameters()),
            file=file,
            file_sha256=digest,
            size=traced.size,
        )

    def checked(temp: Path) -> None:
        check_outputs(write(traced.program, temp), model, preprocessing, name, traced)

    return write_export(folder / file, folder / f"{file}.json", checked, describe)


@dataclass(frozen=True)
class Traced:
    """A traced network is a program with the number and size of inputs that it takes.

    Args:
        program: the traced program.
        batch: number of inputs, or ``"any"``.
        size: smallest and largest height and width of images; a text that says why they are fixed;
            or ``None`` if free sizes were not tried.
    """

    program: torch.export.ExportedProgram
    batch: int | Literal["any"]
    size: tuple[int, int] | str | None = None


def trace(model: nn.Module, preprocessing: Preprocessing, name: str, sizes: bool = False) -> Traced:
    """Trace a network as a program for any number of inputs, else for a single one.

    Args:
        model: the network.
        preprocessing: the preprocessing of the network's inputs.
        name: name of the backbone, for errors.
        sizes: whether height and width of images should be free, too, if the network allows that.

    Raises:
        MtlError: with torch's reason if the network cannot be traced.
    """
    reason = None
    if sizes:
        try:
            return _any_size(model, preprocessing)
        except Exception as error:  # torch and models raise many kinds
            height, width = preprocessing.input_shape[1:]
            why = message_of(error)[:160]
            reason = f"images have to be {height}x{width}: {name} takes no others ({why})"

    def export(count: int, free: bool) -> torch.export.ExportedProgram:
        dynamic = ({0: torch.export.Dim("batch")},) if free else None
        inputs = example(model, preprocessing, count)
        return torch.export.export(model, (inputs,), dynamic_shapes=dynamic)

    return Traced(*any_or_one(export, f"backbone {name!r}"), reason)


def _any_size(model: nn.Module, preprocessing: Preprocessing) -> Traced:
    """Trace a program for any number of images of any size.

    Raises:
        Exception: of many kinds, if the network takes one size only.
    """
    smallest = min(SMALLEST, *preprocessing.input_shape[1:])
    free = {
        0: torch.export.Dim("batch"),
        2: torch.export.Dim("height", min=smallest, max=LARGEST),
        3: torch.export.Dim("width", min=smallest, max=LARGEST),
    }
    inputs = example(model, preprocessing, BATCH, MORE)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, (inputs,), dynamic_shapes=(free,))
    return Traced(program, "any", (smallest, LARGEST))


def any_or_one(
    export: Callable[[int, bool], torch.export.ExportedProgram], what: str
) -> tuple[torch.export.ExportedProgram, int | Literal["any"]]:
    """Make a program for any number of inputs, else for a single one.

    Args:
        export: function that makes a program, given a number of inputs and whether it is free.
        what: name of what is exported, for errors.

    Raises:
        MtlError: with torch's reason if neither works.
    """
    reason = ""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for count, free in ((BATCH, True), (1, False)):
            try:
                return export(count, free), "any" if free else count
            except Exception as error:  # torch raises many kinds
                reason = reason or message_of(error)[:300]
    raise MtlError(f"torch cannot export {what}: {reason}")


def task_network(run: LoadedRun, task: int, probabilities: bool) -> nn.Module:
    """Return one task's network, with probabilities in the place of logits if asked for.

    Raises:
        MtlError: if the task has no probabilities.
    """
    network, found = run.extract(task), run.suite.tasks[task]
    if not probabilities:
        return network
    return with_probabilities(network, found.objective, found.name).eval()


def counts_to_check(batch: int | Literal["any"]) -> tuple[int, ...]:
    """Return the numbers of inputs with which a program is run before its file gets its name."""
    return (1, 3) if batch == "any" else (batch,)


def check_outputs(
    found: Callable[[Tensor], Tensor],
    model: nn.Module,
    preprocessing: Preprocessing,
    name: str,
    traced: Traced,
) -> None:
    """Raise an error unless a program's outputs are the network's, to rounding.

    Args:
        found: the loaded program, as a function from inputs to outputs.
        model: the network that was exported.
        preprocessing: the preprocessing of the network's inputs.
        name: name of the backbone, for errors.
        traced: numbers and sizes of inputs that the program takes.
    """
    cases = [(count, (0, 0)) for count in counts_to_check(traced.batch)]
    if isinstance(traced.size, tuple):
        cases.append((1, OTHER))
    for count, more in cases:
        inputs = example(model, preprocessing, count, more)
        with torch.no_grad():
            expected: Tensor = model(inputs)
            outputs = found(inputs)
        if not agree(outputs, expected):
            raise MtlError(
                f"the exported {name} does not give what the network gives; nothing was written"
            )


def agree(outputs: Tensor, expected: Tensor) -> bool:
    """Return whether outputs are the expected ones, to rounding."""
    scale = float(expected.abs().max())
    return outputs.shape == expected.shape and torch.allclose(
        outputs, expected, rtol=1e-3, atol=1e-4 * scale + 1e-6
    )


def example(
    model: nn.Module, preprocessing: Preprocessing, count: int, more: tuple[int, int] = (0, 0)
) -> Tensor:
    """Make inputs of a network: random floats, or integers that alternate between 0 and 1.

    Args:
        model: the network, whose dtype floats have.
        preprocessing: the preprocessing of the network's inputs.
        count: number of inputs.
        more: pixels that are added to the usual height and width of images.
    """
    shape = count, *preprocessing.input_shape
    if any(more):
        shape = *shape[:2], shape[2] + more[0], shape[3] + more[1]
    if not preprocessing.dtype.is_floating_point:
        return torch.arange(count * math.prod(shape[1:])).view(shape) % 2
    generator = torch.Generator().manual_seed(count)
    return torch.rand(shape, generator=generator, dtype=next(model.parameters()).dtype)
