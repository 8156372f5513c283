"""Where a suite's inputs lie while a run lasts: on the device, or in files that are streamed."""

import os
from typing import Literal

from torch import Tensor

from .streaming import LazyInputs
from .tasks import Suite

KeepOnDevice = Literal["auto", "always", "never"]

#: Up to so many bytes of inputs are kept in memory where ``keep_on_device`` is ``auto``: 2 GiB.
MOST_KEPT = 2 * 2**30


def place_inputs(suite: Suite, keep: KeepOnDevice, workers: int) -> bool:
    """Decide whether batches are streamed; if not, read all images that are still in files.

    ``auto`` keeps up to :data:`MOST_KEPT` bytes: the training inputs of all tasks, and the images
    of every split that are read from files. Batches are the same either way.

    Args:
        suite: whose images are read, for good.
        keep: what the run's option ``keep_on_device`` says.
        workers: processes that read.

    Returns:
        whether training batches are streamed.

    Raises:
        MtlError: naming an image that cannot be read.
    """
    if keep == "never" or (keep == "auto" and input_bytes(suite) > MOST_KEPT):
        return True
    for inputs in _different_inputs(suite):
        if isinstance(inputs, LazyInputs):
            inputs.hold(workers)
    return False


def input_bytes(suite: Suite) -> int:
    """Bytes of all inputs that would be kept; those that tasks have in common count once."""
    training = {id(task.train.inputs) for task in suite.tasks}
    return sum(
        inputs.nbytes
        for inputs in _different_inputs(suite)
        if id(inputs) in training or isinstance(inputs, LazyInputs)
    )


def usable_workers(asked: int | None) -> int:
    """Processes that read images: those asked for, else one a spare CPU core, at most 4."""
    if asked is not None:
        return asked
    affinity = getattr(os, "sched_getaffinity", None)  # not every system has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(4, cores - 1)


def _different_inputs(suite: Suite) -> list[Tensor | LazyInputs]:
    found = [examples.inputs for task in suite.tasks for examples in task.splits().values()]
    return list({id(inputs): inputs for inputs in found}.values())
