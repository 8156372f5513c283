"""The result of a finished run is kept in ``result.json``."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes, write_text
from .assignment import Assignment as Assignment
from .best import Best as Best
from .evaluation import SplitMetrics
from .model import ParameterCounts
from .result_view import ShownResult
from .used_optimizer import UsedOptimizer as UsedOptimizer


@dataclass(frozen=True, repr=False)
class Result(ShownResult):
    """A result holds the figures of a finished run.

    Args:
        strategy: name of the strategy.
        backbone: name of the backbone; where tasks have their own, of all of them with ``+``.
        suite: name of the suite.
        seed: seed of the run.
        iterations: number of steps done.
        test: figures of the networks after the last step, on the test examples.
        validation: the same figures on the validation examples, where every task has some.
        best: the evaluation that validation prefers, where there is validation; never chosen by
            test.
        metrics: label of each task's main metric, by task name.
        parameters: numbers of parameters held in training, and needed by the final networks.
        assignment: the sharing found; ``None`` for strategies without units shared as a whole.
        seconds: wall time of the run, with evaluations and checkpoints.
        seconds_per_iteration: wall time of training alone, divided by the iterations.
        peak_memory: most memory held, in MiB; on a GPU that of its tensors.
        versions: versions of framework, torch, timm and python, and of the package that a third
            party's strategy came with, by its name.
        device: name of the device that the run computed on.
        threads: number of torch's threads, on the CPU.
        backbones: name of each task's own backbone, by task name; ``None`` where all share one.
        ended: why the run ended before it had done all its iterations; ``None`` where it did.
        reported: the networks that the run's figures are of: those after the last step (``test``),
            or those that validation prefers (``best``); ``training.report`` chooses before the run.
        weights: whether all figures are those of averaged weights, see ``training.average``.
        raw_test: figures of the raw weights after the last step, where both are evaluated.
        higher_is_better: labels of all reported metrics that are better when larger.
        optimizer: the optimiser of the weights; ``None`` where the strategy made its own, or in
            results of before it was noted.
        macs: multiply-accumulates of a step, forwards and backwards, of all tasks: the mean of up
            to forty steps all through the run. ``None`` where steps were replayed on a GPU
            (``cuda_graphs``), with a ``memory_budget``, and in results of before it was counted.
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
    ended: str | None = None
    reported: Literal["last", "best"] = "last"
    weights: Literal["raw", "averaged"] = "raw"
    raw_test: SplitMetrics | None = None
    higher_is_better: tuple[str, ...] = ()
    optimizer: UsedOptimizer | None = None
    macs: float | None = None

    @property
    def figures(self) -> SplitMetrics:
        """Figures on the test examples that the run reports, see ``reported``."""
        if self.reported == "best" and self.best is not None:
            return self.best.test
        return self.test

    def save(self, path: Path) -> None:
        """Write the result as JSON, whole or not at all.

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
        file = path / "result.json" if kind_of(path) == "folder" else path
        try:
            text = read_bytes(file)
        except MtlError as error:
            raise MtlError(str(error).replace("cannot read", "cannot read result", 1)) from error
        try:
            result = TypeAdapter(cls).validate_json(text)
            result._check()
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"])) or "content"
            raise MtlError(f"{file} is not a run's result: {key}: {first['msg']}") from error
        except ValueError as error:
            raise MtlError(f"{file} is not a run's result: {error}") from error
        return result.located(file.parent)

    def _check(self) -> None:
        """Refuse what no run writes: numbers that are not finite, figures of other tasks.

        Raises:
            ValueError: naming the entry.
        """
        splits = {"test": self.test, "validation": self.validation}
        if self.best is not None:
            splits |= {"best.test": self.best.test, "best.validation": self.best.validation}
        tasks = set(self.metrics)
        for name, split in splits.items():
            if split is None:
                continue
            if set(split.per_task) != tasks or set(split.loss_per_task) != tasks:
                raise ValueError(f"{name}: should have figures of {', '.join(self.metrics)}")
            means = [mean for mean in (split.error_mean, split.error_pooled) if mean is not None]
            for value in (*split.per_task.values(), *split.loss_per_task.values(), *means):
                if not math.isfinite(value):
                    raise ValueError(f"{name}: {value} is no figure")
        if not tasks:
            raise ValueError("metrics: should name at least one task")
        if not 0 < self.iterations < 2**53:
            raise ValueError(f"iterations: should be a count of steps, found {self.iterations}")
        for name, time in {"seconds": self.seconds, "per step": self.seconds_per_iteration}.items():
            if not math.isfinite(time):
                raise ValueError(f"{name}: {time} is no time")
        given = self.assignment
        if given is not None and (
            len(given.weights) != len(given.units)
            or any(len(row) != len(given.tasks) for row in given.weights)
            or any(not 0 <= number < 2**31 for row in given.weights for number in row)
        ):
            raise ValueError("assignment: should have a row a unit, and in it a number a task")


@dataclass(frozen=True)
class History:
    """The history is what a run wrote while it trained.

    Args:
        evaluations: iteration and figures by split, e.g. ``"test"``.
        metrics: for every metric that the strategy reports, e.g. ``"entropy"``, iterations and
            values; a value is a number or nested lists of them, ``None`` where it was not finite.
    """

    evaluations: tuple[tuple[int, Mapping[str, Mapping[str, Any]]], ...]
    metrics: Mapping[str, tuple[tuple[int, Any], ...]]
