"""One program computes the networks of all tasks, and what they share only once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ..runs.load import LoadedRun
from ..support.errors import MtlError
from ..support.files import make_folder
from .about import TaskAbout, folder_name, task_about, write_export
from .merging import merge_equal
from .program import BATCH, agree, any_or_one, counts_to_check, example, task_network

PROGRAM = "joint.pt2"
Outputs = dict[str, Tensor]
Saved = Callable[[Sequence[Tensor]], Outputs]


class MemberAbout(BaseModel):
    """A task of a joint program has an input that it reads, and a name for its output.

    ``output`` is the name in an ONNX file; a torch program returns a dictionary by task name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: TaskAbout
    preprocessing: dict[str, Any]
    input: str
    output: str


class JointAbout(BaseModel):
    """This is the content of the JSON beside a joint program.

    ``inputs`` are in the program's order. ``batch`` is ``"any"``, or the fixed number of inputs;
    ``parameters`` is the number of stored ones, each distinct tensor counted once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["mtl-framework joint program 1"] = "mtl-framework joint program 1"
    kind: Literal["torch-export", "onnx"]
    members: tuple[MemberAbout, ...]
    inputs: tuple[str, ...]
    batch: int | Literal["any"]
    parameters: int
    file: str
    file_sha256: str


class SideBySide(nn.Module):
    """This module holds networks of several tasks, each of which reads one of the inputs.

    Args:
        networks: the networks, by task name.
        reads: position of the input that each network reads.
    """

    def __init__(self, networks: Mapping[str, nn.Module], reads: Sequence[int]) -> None:
        super().__init__()
        self.names, self.reads = tuple(networks), tuple(reads)
        self.networks = nn.ModuleList(networks.values())

    def forward(self, *inputs: Tensor) -> Outputs:
        """Compute the outputs of every task, by task name."""
        pairs = zip(self.names, self.networks, self.reads, strict=True)
        return {name: network(inputs[number]) for name, network, number in pairs}


def export_joint(run: LoadedRun, folder: Path, probabilities: bool = False) -> JointAbout:
    """Write all tasks' networks as one program, ``joint.pt2``, and its JSON ``joint.pt2.json``.

    A unit that tasks share runs once for those that agree in all that comes before it, and every
    distinct tensor is stored once. Tasks with a common input read one input, others one each. The
    program returns a dictionary by task name; its outputs are those of the tasks' own networks.

    Args:
        run: a loaded run.
        folder: the folder for the files; it is made if needed, and an export in it is replaced.
        probabilities: whether outputs are probabilities of classes or labels instead of logits.

    Raises:
        MtlError: if torch cannot export the networks, a task has no probabilities, or a file
            cannot be written.
    """

    def write(program: torch.export.ExportedProgram, temp: Path) -> Saved:
        with temp.open("wb") as file:
            torch.export.save(program, file)
        with temp.open("rb") as file:
            module = torch.export.load(file).module()
        return lambda inputs: module(*inputs)

    return write_joint(run, folder, PROGRAM, "torch-export", write, probabilities)


def write_joint(
    run: LoadedRun,
    folder: Path,
    file: str,
    kind: Literal["torch-export", "onnx"],
    write: Callable[[torch.export.ExportedProgram, Path], Saved],
    probabilities: bool = False,
) -> JointAbout:
    """Trace all tasks' networks together and write them, once the program has been checked.

    Args:
        run: a loaded run.
        folder: the folder for the files; it is made if needed, and an export in it is replaced.
        file: name of the program's file; its JSON gets ``.json`` behind it.
        kind: format of the file.
        write: function that writes the program to a path, and returns it loaded from there.
        probabilities: whether outputs are probabilities of classes or labels instead of logits.

    Raises:
        MtlError: if torch cannot trace the networks, the written program has other outputs, or a
            file cannot be written.
    """
    tasks = enumerate(run.suite.task_names)
    networks = {name: task_network(run, number, probabilities) for number, name in tasks}
    names, reads = joint_inputs(run)
    joint = SideBySide(networks, reads).eval()
    # the first task that reads each input: [0] where reads is [0, 0, 0], [0, 1, 2] where it is that
    first = [reads.index(number) for number in range(len(names))]
    examples = {
        count: [example(joint.networks[task], run.preprocessings[task], count) for task in first]
        for count in (1, BATCH, 3)
    }
    program, batch = _traced(joint, examples, run)
    make_folder(folder)

    def describe(digest: str) -> JointAbout:
        return JointAbout(
            kind=kind,
            members=_members(run, probabilities),
            inputs=tuple(names),
            batch=batch,
            parameters=sum(p.numel() for p in program.parameters()),
            file=file,
            file_sha256=digest,
        )

    def checked(temp: Path) -> None:
        saved = write(program, temp)
        for count in counts_to_check(batch):
            with torch.no_grad():
                wanted, found = joint(*examples[count]), saved(examples[count])
            for name, outputs in wanted.items():
                if not agree(found[name], outputs):
                    raise MtlError(
                        f"the exported program does not give what the network of task {name!r} "
                        "gives; nothing was written"
                    )

    return write_export(folder / file, folder / f"{file}.json", checked, describe)


def _members(run: LoadedRun, probabilities: bool) -> tuple[MemberAbout, ...]:
    names, reads = joint_inputs(run)
    return tuple(
        MemberAbout(
            task=task_about(run, number, probabilities),
            preprocessing=run.preprocessings[number].to_plain(),
            input=names[reads[number]],
            output=output,
        )
        for number, output in enumerate(output_names(run))
    )


def joint_inputs(run: LoadedRun) -> tuple[list[str], list[int]]:
    """Name the inputs, and give for each task the position of the input that it reads.

    Three tasks on the same images give ``["inputs"], [0, 0, 0]``; tasks on other images each have
    an input of their own, so that the positions are ``[0, 1, 2]``.
    """
    tasks = range(len(run.suite))
    alike = all(each == run.preprocessings[0] for each in run.preprocessings)
    if run.suite.common_input and alike:
        return ["inputs"], [0 for _ in tasks]
    return [f"inputs_{folder_name(run.suite.task_names, task)}" for task in tasks], list(tasks)


def output_names(run: LoadedRun) -> list[str]:
    """Name every task's output with characters that ONNX and file systems allow."""
    names = run.suite.task_names
    return [f"outputs_{folder_name(names, task)}" for task in range(len(names))]


def _traced(
    joint: SideBySide, examples: Mapping[int, Sequence[Tensor]], run: LoadedRun
) -> tuple[torch.export.ExportedProgram, int | Literal["any"]]:
    """Trace a program for any number of inputs, else for a single one, and merge what is equal."""

    def export(count: int, free: bool) -> torch.export.ExportedProgram:
        inputs = tuple(examples[count])
        sizes = tuple({0: torch.export.Dim(f"batch_{number}")} for number in range(len(inputs)))
        # traced once to see what is equal, and once more without what is superfluous
        first = torch.export.export(joint, inputs, dynamic_shapes=(sizes,) if free else None)
        module = first.run_decompositions({}).module()
        assert isinstance(module, torch.fx.GraphModule)
        merge_equal(module)
        return torch.export.export(module, inputs, dynamic_shapes=sizes if free else None)

    names = ", ".join(sorted({backbone.name for backbone in run.backbones}))
    return any_or_one(export, f"the networks of {names} together")
