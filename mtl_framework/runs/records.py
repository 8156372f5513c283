"""Comparisons and reports read records of runs from the runs' folders."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..networks.evaluation import SplitMetrics, can_be_averaged
from ..networks.map_samples import MapSamples
from ..networks.result import History, Result
from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes
from .checkpoint import Checkpoints
from .details import TaskDetails, read_details, read_maps
from .folder import details_file, maps_stem
from .resolve import read_file

Select = Literal["last", "best"]
State = Literal["waiting", "stopped", "done", "failed"]
ControlKind = Literal["retrained", "permuted", "roaming"]


@dataclass(frozen=True)
class Control:
    """A control run belongs to a run of a comparison, with the same seed.

    Args:
        kind: kind of the control.
        of: label of the strategy whose run it belongs to.
        number: number of the permutation, from 1; 0 where there is only one control.
    """

    kind: ControlKind
    of: str
    number: int = 0

    @property
    def label(self) -> str:
        """Return the label of the control in a comparison, e.g. ``lws: permuted 2``."""
        return f"{self.of}: {self.kind}" + (f" {self.number}" if self.number else "")


@dataclass(frozen=True)
class RunRecord:
    """This class holds one run of a comparison.

    Args:
        strategy: label of the strategy in the comparison.
        suite: label of the suite.
        backbone: label of the backbone.
        seed: seed of the run.
        directory: folder of the run.
        iterations: number of iterations that was asked for.
        state: state of the run; ``done`` where there is a result.
        result: result of a finished run; ``None``: it is not finished.
        error: why the run failed, in one line.
        control: what the run is a control of; ``None``: it is itself compared.
    """

    strategy: str
    suite: str
    backbone: str
    seed: int
    directory: Path
    iterations: int
    state: State
    result: Result | None = None
    error: str | None = field(default=None)
    control: Control | None = None

    def figures(self, select: Select = "last") -> SplitMetrics | None:
        """Return the test metrics of a finished run; ``None``: it is not finished.

        ``last``: of the networks that the run itself reports; ``best``: of the best by validation,
        or as ``last`` where there is no validation split.
        """
        if self.result is None:
            return None
        if select == "best" and self.result.best is not None:
            return self.result.best.test
        return self.result.figures

    def details(self, select: Select = "last") -> Mapping[str, TaskDetails]:
        """Read what a report draws of every task; empty where there is nothing.

        Raises:
            MtlError: if the file is damaged.
        """
        return read_details(self.directory / details_file(self._counted(select)))

    def maps(self, select: Select = "last") -> Mapping[str, MapSamples]:
        """Read a few test images with maps for every task; empty where there are none.

        Raises:
            MtlError: if a file is damaged.
        """
        return read_maps(self.directory / maps_stem(self._counted(select)))

    def _counted(self, select: Select) -> Select:
        """Whose files hold what a report draws."""
        result = self.result
        if result is None or result.best is None:
            return "last"
        return "best" if "best" in (select, result.reported) else "last"

    @cached_property
    def history(self) -> History:
        """Return the evaluations and metrics in the run's metrics file; nothing without one."""
        return read_history(self.directory / "metrics.jsonl")

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Return the run's complete config, as plain values.

        Raises:
            MtlError: if it cannot be read.
        """
        return read_file(self.directory / "config.yaml").values

    def checkpoint(self) -> dict[str, Any]:
        """Read the strategy's saved state: what its ``state_dict`` returned after the last step.

        Raises:
            MtlError: if there is no checkpoint, or it is damaged.
        """
        checkpoints = Checkpoints(self.directory / "checkpoint")
        # a run that has kept no weights has kept what reports draw
        for kind in ("last", "end"):
            iteration = checkpoints.latest(kind)
            if iteration is not None:
                state = checkpoints.load(kind, iteration).get("strategy")
                if isinstance(state, dict):
                    return state
                where = checkpoints.stem(kind, iteration)
                raise MtlError(f"checkpoint {where} holds no strategy's state")
        raise MtlError(f"there is no checkpoint in {self.directory}")


def read_history(file: Path) -> History:
    """Read a metrics file; a last line that is cut short is left out.

    Raises:
        MtlError: naming the line that is not one of a run's metrics file.
    """
    evaluations: dict[int, Mapping[str, Any]] = {}
    metrics: dict[str, list[tuple[int, Any]]] = {}
    for line in _lines(file):
        if line.evaluation is not None:
            evaluations[line.iteration] = {
                name: asdict(split) for name, split in line.evaluation.items()
            }
        for name, value in line.metrics.items():
            metrics.setdefault(name, []).append((line.iteration, value))
    return History(
        tuple(sorted(evaluations.items())), {name: tuple(rows) for name, rows in metrics.items()}
    )


class _Line(BaseModel):
    """This class checks one line of a metrics file."""

    model_config = ConfigDict(extra="ignore", strict=True)

    iteration: int = Field(ge=0, le=10**12)
    evaluation: dict[str, SplitMetrics] | None = None
    metrics: dict[str, Any] = {}

    @field_validator("metrics")
    @classmethod
    def _numbers(cls, metrics: dict[str, Any]) -> dict[str, Any]:
        for name, value in metrics.items():
            if not _is_number_or_lists(value):
                raise ValueError(f"metric {name[:40]!r} should be a number, or lists of numbers")
        return metrics


def _is_number_or_lists(value: Any, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 8 and all(_is_number_or_lists(item, depth + 1) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < 10**300)


def _lines(file: Path) -> Iterator[_Line]:
    if kind_of(file) is None:
        return
    for number, text in enumerate(read_bytes(file).split(b"\n")[:-1], 1):
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))[:80] or "content"
            reason = f"{key}: {first['msg']}"
            raise MtlError(f"{file}:{number} is no line of a run's metrics: {reason}") from error
        yield line


@dataclass(frozen=True)
class Group:
    """A group has runs that can be compared with each other: one suite, one backbone.

    ``strategies`` are in the order of the comparison. ``controls`` are not among ``records``.
    """

    suite: str
    backbone: str
    records: tuple[RunRecord, ...]
    controls: tuple[RunRecord, ...] = ()

    @property
    def strategies(self) -> tuple[str, ...]:
        """Return the labels of the strategies, in the order of the comparison."""
        return tuple(dict.fromkeys(record.strategy for record in self.records))

    def of(self, strategy: str) -> list[RunRecord]:
        """Return all runs of one strategy."""
        return [record for record in self.records if record.strategy == strategy]

    def done(self, strategy: str) -> list[RunRecord]:
        """Return the finished runs of one strategy, by seed."""
        finished = [record for record in self.of(strategy) if record.result is not None]
        return sorted(finished, key=lambda record: record.seed)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the names of the tasks, from the first result; none where no run has ended."""
        for record in self.records:
            if record.result is not None:
                return tuple(record.result.test.per_task)
        return ()

    @property
    def metrics(self) -> Mapping[str, str]:
        """Return the name of every task's metric, from the first result; none before a run ends."""
        for record in self.records:
            if record.result is not None:
                return record.result.metrics
        return {}

    @property
    def higher(self) -> frozenset[str]:
        """Return the tasks whose main metric is better when larger, from the first result."""
        for record in self.records:
            if record.result is not None:
                return frozenset(record.result.test.ideals)
        return frozenset()

    @property
    def higher_metrics(self) -> frozenset[str]:
        """Return the labels of all metrics that are better when larger, from the first result."""
        for record in self.records:
            if record.result is not None:
                return frozenset(record.result.higher_is_better)
        return frozenset()

    @property
    def mixed(self) -> bool:
        """Say whether tasks' metrics differ, or have units, so that their mean means nothing."""
        return bool(self.metrics) and not can_be_averaged(list(self.metrics.values()))

    @property
    def unit(self) -> str:
        """Return the label of the tasks' common metric, e.g. ``error %``, or ``mixed``."""
        return "mixed" if self.mixed else next(iter(self.metrics.values()), "error")

    @property
    def networks(self) -> str:
        """Return the backbones of the tasks' own, if they have some, else the group's label."""
        results = [record.result for record in self.records if record.result is not None]
        own = {result.backbone for result in results if result.backbones is not None}
        return ", ".join(sorted(own)) or self.backbone


def make_groups(records: Iterable[RunRecord]) -> list[Group]:
    """Group runs by suite and backbone, in the order of their first occurrence.

    Raises:
        MtlError: if runs of one group do not have the same tasks.
    """
    by_names: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        by_names.setdefault((record.suite, record.backbone), []).append(record)
    groups = [
        Group(
            suite,
            backbone,
            tuple(run for run in runs if run.control is None),
            tuple(run for run in runs if run.control is not None),
        )
        for (suite, backbone), runs in by_names.items()
    ]
    for group in groups:
        _check_tasks(group)
    return groups


def _check_tasks(group: Group) -> None:
    for record in group.records:
        tasks: Sequence[str] = tuple(record.result.test.per_task) if record.result else group.tasks
        if tuple(tasks) != group.tasks:
            raise MtlError(
                f"{record.directory} has the tasks {', '.join(tasks)}, but other runs of suite "
                f"{group.suite!r} have {', '.join(group.tasks)}: report them apart"
            )
