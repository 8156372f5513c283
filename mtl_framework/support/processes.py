"""A process joins others that train the same run with it, as ``torchrun`` or ``mtl`` started them.

What starts processes tells each of them by the variables ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``,
``MASTER_ADDR`` and ``MASTER_PORT`` which one it is and where they meet.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import MtlError, message_of

if TYPE_CHECKING:
    import torch

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
LAUNCHER = "MTL_LAUNCHER"  # number of the process of ``mtl run --processes`` that started this one
LOST = ".lost"  # suffix of a file beside that for errors: what one that is left could still say
_REPORTS = "mtl/reports"
_PATIENCE = timedelta(days=1)  # the first process evaluates while the others wait


def asked_processes() -> int:
    """Return how many processes were started together with this one, by its environment.

    Raises:
        MtlError: if a variable of those that say so is no number.
    """
    if any(not os.environ.get(name) for name in NEEDED):
        return 1
    return _number("WORLD_SIZE")


def asked_number() -> int:
    """Return the number of this process among those that were started together, from 0 on."""
    return _number("RANK") if asked_processes() > 1 else 0


def _number(name: str) -> int:
    text = os.environ.get(name, "0")
    if not text.isdigit():
        raise MtlError(f"the variable {name} should be a number, found {text!r}")
    return int(text)


@contextmanager
def joined() -> Iterator[None]:
    """Train together with the other processes inside, where several were started.

    A group that the caller's own program has made already is used, and left to it.

    Raises:
        MtlError: if the others cannot be reached, or there are more processes than GPUs.
    """
    if asked_processes() == 1:
        yield
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        yield
        return
    gpus = torch.cuda.is_available()
    local = _number("LOCAL_RANK") if "LOCAL_RANK" in os.environ else asked_number()
    if gpus and local < torch.cuda.device_count():
        torch.cuda.set_device(local)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = message_of(error)[:200]
        raise MtlError(f"the processes of this run cannot reach each other: {reason}") from error
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # where another one has ended already
            dist.destroy_process_group()


def own_device(device: "torch.device") -> "torch.device":
    """Return the device of this process, where several train together: each has a GPU of its own.

    Raises:
        MtlError: if there are fewer GPUs than processes, or the device can serve one process only.
    """
    import torch

    from .distributed import process_count

    count = process_count()
    if count == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise MtlError(f"device {device} serves one process, not {count}; choose cpu or cuda")
    if device.index is not None:
        raise MtlError(
            f"device {device} is one GPU, and there are {count} processes, which need one each: "
            "choose device=cuda, and the GPUs by CUDA_VISIBLE_DEVICES"
        )
    local = _number("LOCAL_RANK") if "LOCAL_RANK" in os.environ else asked_number()
    if local >= torch.cuda.device_count():
        raise MtlError(
            f"there are more processes than GPUs here ({torch.cuda.device_count()}), and each "
            "needs one of its own: start fewer, or choose device=cpu"
        )
    return torch.device("cuda", local)


def is_left_alone() -> bool:
    """Say whether the ``mtl`` that started this process has ended, so that nobody waits for it."""
    launcher = os.environ.get(LAUNCHER, "")
    return launcher.isdigit() and os.getppid() != int(launcher)


def speaks_for_all(message: str, lost: bool) -> bool:
    """Say whether this process is to report an error, so that one line comes of all processes.

    The first process with an error of its own is. That another one has ended is reported by ``mtl``
    itself where it started the processes, else by one that is left.

    Args:
        message: the line; ``torchrun`` is told, too.
        lost: whether it is about another process having ended.
    """
    from torch import distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return asked_number() == 0
    if lost and LAUNCHER in os.environ:
        _tell_launcher(message, LOST)
        return False
    try:
        store = dist.distributed_c10d._get_default_store()
        first = int(store.add(_REPORTS, 1)) == 1
    except RuntimeError:  # the process that holds the store has ended
        first = LAUNCHER not in os.environ and dist.get_rank() == 1
    if first:
        _tell_launcher(message)
    return first


def _tell_launcher(message: str, suffix: str = "") -> None:
    """Write the message into the file that ``torchrun`` and ``mtl run --processes`` look for."""
    name = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not name:
        return
    extra = {"py_callstack": message, "timestamp": str(int(time.time()))}
    text = json.dumps({"message": {"message": message, "extraInfo": extra}})
    file = Path(name)
    with contextlib.suppress(OSError):
        if suffix:
            file.with_suffix(suffix).write_text(message, encoding="utf-8")
        else:
            file.write_text(text, encoding="utf-8")


def agreed(number: int | None, text: str | None) -> tuple[int | None, str | None]:
    """Agree with the other processes on a signal that asks to stop, and on a reason to end.

    Args:
        number: number of a signal that this process has received.
        text: a reason to end that this process knows.

    Returns:
        the largest number that any process has, and the text of the first one that has one.

    Raises:
        ProcessLostError: if another process has ended.
    """
    from .distributed import all_reduce_max, gathered, is_distributed

    if not is_distributed():
        return number, text
    import torch

    if number is None and is_left_alone():
        number = int(getattr(signal, "SIGHUP", signal.SIGTERM))
    most, known = all_reduce_max(torch.tensor([number or 0, int(text is not None)])).tolist()
    if known:
        text = next(each for each in gathered(text) if each is not None)
    return most or None, text
