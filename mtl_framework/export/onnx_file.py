"""One task's network as ONNX, checked with onnxruntime. Needs the extra ``onnx``."""

import io
import logging
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import Tensor

from ..runs.load import LoadedRun
from ..support.errors import MtlError
from .program import ProgramAbout, write_checked

MODEL = "model.onnx"


def export_onnx(
    run: LoadedRun, task: int | str, folder: Path, probabilities: bool = False
) -> ProgramAbout:
    """Write one task's network as ``model.onnx`` and ``model.onnx.json``.

    It is run with onnxruntime, and has to give what the network gives, before its file gets its
    name. The input is called ``inputs``, the output ``outputs``.

    Args:
        run: a loaded run.
        task: name or position.
        folder: made where it does not exist; an export in it is replaced.
        probabilities: of classes or labels, in the place of logits.

    Raises:
        MtlError: if the extra is not installed, the network cannot be exported, or a file cannot
            be written.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise MtlError(
            f"export to onnx needs {error.name}: pip install 'mtl-framework[onnx]'"
        ) from None
    name = run.backbones[run.suite.index(task)].name

    def write(program: torch.export.ExportedProgram, temp: Path) -> Callable[[Tensor], Tensor]:
        temp.write_bytes(_converted(program, name))
        session = onnxruntime.InferenceSession(temp, providers=["CPUExecutionProvider"])
        return lambda inputs: torch.from_numpy(session.run(None, {"inputs": inputs.numpy()})[0])

    return write_checked(run, task, folder, MODEL, "onnx", write, probabilities)


def _converted(program: torch.export.ExportedProgram, name: str) -> bytes:
    """The model in one piece, weights inside."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            converted = torch.onnx.export(
                program, input_names=["inputs"], output_names=["outputs"], verbose=False
            )
        assert converted is not None
        found: bytes = converted.model_proto.SerializeToString()
        return found
    except Exception as error:  # the exporter raises many kinds
        reason = " ".join(str(error).split())[:300]
        raise MtlError(f"torch cannot export backbone {name!r} to ONNX: {reason}") from error
    finally:
        log.setLevel(level)
