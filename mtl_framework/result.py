"""What a finished run found: ``result.json``."""

import dataclasses
import json
import math
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import TypeAdapter, ValidationError

from .assembly import joint_name
from .atomic import write_text
from .devices import device_name, peak_memory
from .errors import MtlError
from .evaluation import Evaluation, SplitMetrics
from .model import ParameterCounts, Sharing

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True)
class Best:
    """The evaluation that validation prefers, the first one on a tie."""

    iteration: int
    validation: SplitMetrics
    test: SplitMetrics

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Best | None":
        """An evaluation as a candidate; ``None`` where there is no validation split."""
        splits = evaluation.splits
        if "validation" not in splits:
            return None
        return cls(evaluation.iteration, splits["validation"], splits["test"])

    def is_better_than(self, other: "Best") -> bool:
        """Whether the mean of the tasks' validation metrics is lower.

        Where metrics differ, the mean of each task's metric relative to its other one has to be
        below one. As that makes their product smaller, such steps never lead back.
        """
        mine, theirs = self.validation, other.validation
        if mine.error_mean is not None and theirs.error_mean is not None:
            return mine.error_mean < theirs.error_mean
        ratios = [_ratio(value, theirs.per_task[task]) for task, value in mine.per_task.items()]
        return sum(ratios) < len(ratios)


@dataclass(frozen=True)
class Assignment:
    """Which weight ``weights[u][t]`` of unit ``units[u]`` task ``tasks[t]`` uses at the end."""

    units: tuple[str, ...]
    tasks: tuple[str, ...]
    weights: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, sharing: Sharing) -> "Assignment":
        """The same as plain numbers."""
        rows = sharing.weights.tolist()
        return cls(tuple(sharing.units), tuple(sharing.tasks), tuple(tuple(row) for row in rows))


@dataclass(frozen=True)
class Result:
    """Figures of a finished run.

    Args:
        strategy: name of the strategy.
        backbone: name of the backbone; where tasks have their own, of all of them with ``+``.
        suite: name of the suite.
        seed: of the run.
        iterations: steps done.
        test: the networks after the last step, on the test examples.
        validation: the same on the validation examples, where every task has some.
        best: the evaluation that validation prefers, where there is validation; never chosen by
            test.
        metrics: name of each task's metric, by task name.
        parameters: held in training, and needed by the final networks.
        assignment: the sharing found; ``None`` for strategies without units shared as a whole.
        seconds: wall time of the run, with evaluations and checkpoints.
        seconds_per_iteration: wall time of training alone, divided by the iterations.
        peak_memory: most memory held, in MiB; on a GPU that of its tensors.
        versions: of framework, torch, timm and python.
        device: what the run computed on.
        threads: of torch, on the CPU.
        backbones: name of each task's own backbone, by task name; ``None`` where all share one.
    """

    strategy: str
    backbone: str
    suite: str
    seed: int
    iterations: int
    test: SplitMetrics
    validation: SplitMetrics | None
    best: Best | None
    metrics: dict[str, str]
    parameters: ParameterCounts
    assignment: Assignment | None
    seconds: float
    seconds_per_iteration: float
    peak_memory: float | None
    versions: dict[str, str]
    device: str
    threads: int
    backbones: dict[str, str] | None = None

    @classmethod
    def of(cls, run: "Run", seconds_per_iteration: float) -> "Result":
        """What a run has found, evaluated after its last step."""
        evaluation, config, suite = run.last_evaluation, run.config, run.suite
        assert evaluation is not None
        sharing = run.network.sharing()
        own = dict(zip(suite.task_names, (b.name for b in run.backbones), strict=True))
        return cls(
            strategy=config.strategy.name,
            backbone=joint_name(run.backbones),
            suite=config.suite.name,
            seed=config.seed,
            iterations=run.iteration,
            test=evaluation.splits["test"],
            validation=evaluation.splits.get("validation"),
            best=run.best,
            metrics={task.name: task.objective.metric for task in suite.tasks},
            parameters=run.network.parameter_counts(),
            assignment=None if sharing is None else Assignment.of(sharing),
            seconds=run.seconds,
            seconds_per_iteration=seconds_per_iteration,
            peak_memory=peak_memory(run.device),
            versions=versions(),
            device=device_name(run.device),
            threads=torch.get_num_threads(),
            backbones=None if suite.common_backbone else own,
        )

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all.

        Raises:
            MtlError: if the file cannot be written.
        """
        write_text(path, json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Result":
        """Read a result from its file, or from the folder of its run.

        Raises:
            MtlError: if there is none, or the file is not a result.
        """
        file = path / "result.json" if path.is_dir() else path
        try:
            return TypeAdapter(cls).validate_json(file.read_bytes())
        except OSError as error:
            raise MtlError(f"cannot read result {file}: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"])) or "content"
            raise MtlError(f"{file} is not a run's result: {key}: {first['msg']}") from error


def _ratio(new: float, old: float) -> float:
    if old == 0:
        return 1.0 if new == 0 else math.inf
    return new / old


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for name, distribution in (
        ("framework", "mtl-framework"),
        ("torch", "torch"),
        ("timm", "timm"),
    ):
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:  # imported from a source folder without installation
            found[name] = "unknown"
    return found
