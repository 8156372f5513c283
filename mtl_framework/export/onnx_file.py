"""Networks are exported as ONNX and checked with onnxruntime, which needs the extra ``onnx``."""

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..runs.load import LoadedRun
from ..support.errors import MtlError, message_of
from .joint import JointAbout, Saved, joint_inputs, output_names, write_joint
from .program import ProgramAbout, write_checked

MODEL, JOINT = "model.onnx", "joint.onnx"


def export_onnx(
    run: LoadedRun, task: int | str, folder: Path, probabilities: bool = False
) -> ProgramAbout:
    """Write one task's network as ``model.onnx`` and ``model.onnx.json``.

    Before the file gets its name, onnxruntime runs it, and its outputs have to equal the network's.
    The input is called ``inputs``, the output ``outputs``.

    Args:
        run: a loaded run.
        task: name or position of the task.
        folder: the folder for the files; it is made if needed, and an export in it is replaced.
        probabilities: whether outputs are probabilities of classes or labels instead of logits.

    Raises:
        MtlError: if the extra is not installed, the network cannot be exported, or a file cannot
            be written.
    """
    name = run.backbones[run.suite.index(task)].name

    def write(program: torch.export.ExportedProgram, temp: Path) -> Callable[[Tensor], Tensor]:
        temp.write_bytes(_converted(program, name, ["inputs"], ["outputs"]))
        session = _session(temp)
        return lambda inputs: torch.from_numpy(session.run(None, {"inputs": inputs.numpy()})[0])

    _check_installed()
    return write_checked(run, task, folder, MODEL, "onnx", write, probabilities)


def export_joint_onnx(run: LoadedRun, folder: Path, probabilities: bool = False) -> JointAbout:
    """Write all tasks' networks as one ``joint.onnx``, and its JSON ``joint.onnx.json``.

    The program is that of :func:`~mtl_framework.export.export_joint`. Its inputs and outputs have
    the names that the JSON gives: ``inputs``, or ``inputs_TASK`` where tasks have their own, and
    ``outputs_TASK``.

    Args:
        run: a loaded run.
        folder: the folder for the files; it is made if needed, and an export in it is replaced.
        probabilities: whether outputs are probabilities of classes or labels instead of logits.

    Raises:
        MtlError: if the extra is not installed, the networks cannot be exported, or a file cannot
            be written.
    """
    (inputs, _), outputs = joint_inputs(run), output_names(run)
    backbones = ", ".join(sorted({backbone.name for backbone in run.backbones}))

    def write(program: torch.export.ExportedProgram, temp: Path) -> Saved:
        temp.write_bytes(_converted(program, backbones, inputs, outputs))
        session = _session(temp)

        def saved(values: Sequence[Tensor]) -> dict[str, Tensor]:
            fed = {name: value.numpy() for name, value in zip(inputs, values, strict=True)}
            found = map(torch.from_numpy, session.run(outputs, fed))
            return dict(zip(run.suite.task_names, found, strict=True))

        return saved

    _check_installed()
    return write_joint(run, folder, JOINT, "onnx", write, probabilities)


def _check_installed() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise MtlError(
            f"export to onnx needs {error.name}: pip install 'mtl-framework[onnx]'"
        ) from None


def _session(file: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def _converted(
    program: torch.export.ExportedProgram, name: str, inputs: list[str], outputs: list[str]
) -> bytes:
    """Convert a program to the bytes of an ONNX file that holds its weights."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            converted = torch.onnx.export(
                program, input_names=inputs, output_names=outputs, verbose=False
            )
        assert converted is not None
        found: bytes = converted.model_proto.SerializeToString()
        return found
    except Exception as error:  # the exporter raises many kinds
        reason = message_of(error)[:300]
        raise MtlError(f"torch cannot export backbone {name!r} to ONNX: {reason}") from error
    finally:
        log.setLevel(level)
