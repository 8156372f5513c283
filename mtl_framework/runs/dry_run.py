"""A dry run shows what a run would do, and how long it would take, without doing it."""

import html
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ..backbones.backbone import Backbone
from ..data.overview import TaskOverview, overview
from ..networks.model import ParameterCounts
from ..plugins.manager import Plugins
from ..support.devices import device_name, peak_memory, resolve_device
from ..support.errors import MtlError
from ..support.seeding import untouched_generators
from ..support.terminal import duration
from .assembly import common_backbone
from .config import dump
from .resolve import ResolvedConfig
from .run import Run
from .strategy_checks import Steps

STEPS = 3


@dataclass(frozen=True, repr=False)
class Preview:
    """A preview says what a run would do; see :func:`mtl_framework.dry_run`.

    Args:
        config: the complete configuration in YAML, as the run's ``config.yaml`` would hold it.
        directory: the folder that the run would have.
        data: a summary of every task's data.
        backbone: the backbone that all tasks share; ``None`` where they have their own.
        backbones: name of every task's backbone.
        parameters: numbers of parameters in training and in the final networks.
        notes: what the user should know of data and backbone.
        iterations: number of steps that the run would do.
        seconds: wall time of each of the three steps; the first one is slower than the others.
        memory: peak memory of the process in MiB, on a GPU that of its tensors; ``None``: unknown.
        device: name of the device that did the steps.
    """

    config: str
    directory: Path
    data: tuple[TaskOverview, ...]
    backbone: Backbone | None
    backbones: tuple[str, ...]
    parameters: ParameterCounts
    notes: tuple[str, ...]
    iterations: int
    seconds: tuple[float, ...]
    memory: float | None
    device: str

    @property
    def seconds_per_iteration(self) -> float:
        """Return the median time of the steps after the first, in seconds."""
        return statistics.median(self.seconds[1:] or self.seconds)

    @property
    def total_seconds(self) -> float:
        """Return the seconds that all iterations would take, evaluations and checkpoints aside."""
        return self.seconds_per_iteration * self.iterations

    @property
    def checkpoint_bytes(self) -> int:
        """Estimate the bytes of trained parameters in a checkpoint, without optimiser state."""
        return 4 * self.parameters.trained

    def estimate(self) -> str:
        """Return time and memory in one sentence."""
        each = self.seconds_per_iteration
        memory = "" if self.memory is None else f", {self.memory:,.0f} MiB held at most so far"
        return (
            f"estimate from {len(self.seconds)} steps on {self.device}: {each:.3g} s a step, "
            f"{duration(self.total_seconds)} for {self.iterations} without evaluations{memory}"
        )

    def __str__(self) -> str:
        units = () if self.backbone is None else self.backbone.units
        lines = [
            self.config.rstrip(),
            "",
            *(f"data: {task}; inputs {task.inputs}; {task.labels}" for task in self.data),
            *(f"unit {n}: {unit.name}, {unit.num_parameters:,}" for n, unit in enumerate(units, 1)),
            f"parameters: {self.parameters.trained:,} trained, {self.parameters.deployed:,} needed "
            "by the networks as they are built",
            *(f"hint: {note}" for note in self.notes),
            self.estimate(),
            f"folder: {self.directory} (nothing was written)",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Preview: {self.estimate()}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def preview(complete: ResolvedConfig, directory: Path, plugins: Plugins) -> Preview:
    """Build what a run would build, and do three steps of it; nothing is written.

    Random generators are restored afterwards.

    Args:
        complete: configuration of the run.
        directory: the folder that the run would have.
        plugins: where names are looked up; observers are not told of the steps.

    Raises:
        MtlError: on all that a run would refuse before its first step, or in the steps.
    """
    device = resolve_device(complete.config.device)
    with untouched_generators(device):
        run = Run.start(complete, plugins, directory, claim=False)
        seconds = rehearse(run)
    backbone = common_backbone(run.backbones)
    notes = [*run.suite.notes, *(hint for b in run.backbones for hint in b.hints)]
    return Preview(
        config=dump(complete.config),
        directory=directory,
        data=tuple(overview(run.suite)),
        backbone=backbone,
        backbones=tuple(b.name for b in run.backbones),
        parameters=run.network.parameter_counts(),
        notes=tuple(dict.fromkeys(notes)),
        iterations=run.iterations,
        seconds=seconds,
        memory=peak_memory(device),
        device=device_name(device),
    )


def rehearse(run: Run, count: int = STEPS) -> tuple[float, ...]:
    """Time the first steps, in seconds, of a run that is not used afterwards.

    Raises:
        MtlError: if the strategy does no step, or breaks its contract.
    """
    loop = Steps(run.strategy_name, run.strategy.optimize(run))
    seconds = []
    try:
        for _ in range(min(count, run.iterations)):
            begin = time.perf_counter()
            step = loop.next()
            if step is None:
                break
            step.loss.detach().cpu()  # waits for the device
            if run.device.type == "cuda":
                torch.cuda.synchronize(run.device)
            seconds.append(time.perf_counter() - begin)
    finally:
        loop.close()
        run.close()
    if not seconds:
        raise MtlError(f"strategy {run.strategy_name!r} ended before its first iteration")
    return tuple(seconds)
