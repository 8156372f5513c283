"""A run's inputs lie on the device, or are streamed from files."""

import os
from typing import Literal

import torch
from jaxtyping import Int64, Shaped
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
        suite: the suite; its images are read into memory and stay there.
        keep: the run's option ``keep_on_device``.
        workers: number of processes that read images; 0: this one.

    Returns:
        True where training batches are streamed.

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
    """Return the bytes of all inputs that would be kept; common inputs of tasks count once."""
    training = {id(task.train.inputs) for task in suite.tasks}
    return sum(
        inputs.nbytes
        for inputs in _different_inputs(suite)
        if id(inputs) in training or isinstance(inputs, LazyInputs)
    )


def targets_on(device: torch.device, suite: Suite) -> list[Tensor]:
    """Return the training targets of every task, on a device.

    More than :data:`MOST_KEPT` bytes stay in the CPU's memory, or in the files that stand for it.
    """
    targets = [task.train.targets for task in suite.tasks]
    if sum(x.nbytes for x in targets) > MOST_KEPT:
        return targets
    return [x.to(device) for x in targets]


def rows_of(
    held: Shaped[Tensor, "all *dims"], rows: Int64[Tensor, " rows"], there: Int64[Tensor, " rows"]
) -> Shaped[Tensor, "rows *dims"]:
    """Return rows of what :func:`targets_on` has returned, on the device.

    Args:
        held: the targets of a task.
        rows: numbers of rows, on the CPU.
        there: the same on the device.
    """
    if held.device == there.device:
        return held[there]
    return held[rows].to(there.device, non_blocking=True)


def usable_workers(asked: int | None) -> int:
    """Return how many processes read images: as asked, else one a spare CPU core, at most 4."""
    if asked is not None:
        return asked
    affinity = getattr(os, "sched_getaffinity", None)  # not every system has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(4, cores - 1)


def _different_inputs(suite: Suite) -> list[Tensor | LazyInputs]:
    every = [examples.inputs for task in suite.tasks for examples in task.splits().values()]
    return list({id(inputs): inputs for inputs in every}.values())
