"""A comparison's cells are run with workers, GPUs or a cluster."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from ..plugins.manager import Plugins
from ..support.errors import MtlError
from .config import ComparisonConfig
from .grid import python_objects
from .in_process import InProcess
from .processes import Executor, LocalProcesses, gpu_groups, machine_threads


@dataclass(frozen=True)
class Resources:
    """These resources run the cells: workers, GPUs or a Ray cluster.

    Args:
        workers: number of cells that run at a time; ``None``: one, or with GPUs as many as these
            have room for.
        gpus_per_run: number of GPUs of each cell, e.g. 1 or 0.5; ``None``: one where the machine
            has GPUs and the config's device allows them; 0: none.
        ray: address of a Ray cluster; ``auto``: the one that is running, or a new one on this
            machine; ``None``: processes of this machine.
    """

    workers: int | None = None
    gpus_per_run: float | None = None
    ray: str | None = None


def executor_for(
    comparison: ComparisonConfig, resources: Resources, plugins: Plugins
) -> tuple[Callable[[], Executor], int]:
    """Return a function that makes the executor, and how many cells it runs at a time.

    Args:
        comparison: the runs; the config of the first one says which device they want.
        resources: workers, GPUs or cluster that run the cells.
        plugins: plugins in which names are looked up.

    Raises:
        MtlError: naming the option whose resources there are not.
    """
    workers, threads = resources.workers, machine_threads()
    if workers is not None and workers < 1:
        raise MtlError(f"--workers should be at least 1, found {workers}")
    given = python_objects(comparison)
    if given and (resources.ray is not None or (workers or 1) > 1):
        raise MtlError(
            f"{given[0]} is a Python object, which other processes do not have: leave out workers "
            "and ray, so that its runs are done here one after another; or make it a plugin"
        )
    if given:
        return (lambda: InProcess(plugins, threads)), 1
    gpus, per_run = _gpus(comparison, resources)
    if resources.ray is not None:
        from .on_ray import RayTasks

        address, each = resources.ray, max(1, threads // (workers or 1))
        return (lambda: RayTasks(address, each, per_run)), workers or 1
    devices = None
    if per_run:
        devices = gpu_groups(gpus, per_run)
        workers = workers or len(devices)
        if workers > len(devices):
            raise MtlError(
                f"--workers is {workers}, but {len(gpus)} GPUs have room for {len(devices)} runs "
                f"with --gpus-per-run {per_run:g}"
            )
    elif gpus:
        devices = [()] * (workers or 1)  # none of the GPUs may be touched
    workers = workers or 1
    return (lambda: LocalProcesses(workers, max(1, threads // workers), devices)), workers


def _gpus(comparison: ComparisonConfig, resources: Resources) -> tuple[list[str], float]:
    """Return the names of the machine's GPUs, and how many each cell gets."""
    if resources.gpus_per_run is not None and resources.gpus_per_run < 0:
        raise MtlError(f"--gpus-per-run should be at least 0, found {resources.gpus_per_run:g}")
    import torch

    device = comparison.variants[0].config.device
    found = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",")[:found] if visible else [str(n) for n in range(found)]
    wanted = resources.gpus_per_run
    if wanted is None:
        wanted = 1.0 if names and device in ("auto", "cuda") and resources.ray is None else 0.0
    return names, wanted
