"""A checkpoint holds the progress of a run."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from ..networks.evaluation import Evaluation
from ..networks.result import Best
from ..support.distributed import process_count
from ..support.errors import MtlError


@dataclass(frozen=True)
class Measured:
    """A run keeps two evaluations: the newest and the best.

    Args:
        last: the newest evaluation.
        best: the evaluation with the best validation metric; ``None``: no validation split.
        metrics_length: length of the metrics file at that time, in bytes.
    """

    last: Evaluation | None = None
    best: Best | None = None
    metrics_length: int = 0


@dataclass
class ProgressState:
    """This state says how far a run has come.

    Args:
        iteration: number of steps done.
        measured: the newest and the best evaluation of the run.
        before_end: ``measured`` before the last evaluation, where that is one that a longer run
            would not have made; an extended run goes back to it.
        seconds: wall time of the earlier parts of the run.
        training_seconds: wall time of steps alone.
        ended: why the run ended before its last iteration; ``None``: it did not.
        statistics: running averages that were measured anew for the newest evaluation, by name of
            the buffer.
        threads: number of torch's threads on the CPU.
        processes: number of processes that train together.
        macs: multiply-accumulates of the steps that were counted, by the step's number.
        begin: when this part of the run began, by :func:`time.perf_counter`; not saved.
    """

    iteration: int = 0
    measured: Measured = field(default_factory=Measured)
    before_end: Measured | None = None
    seconds: float = 0.0
    training_seconds: float = 0.0
    ended: str | None = None
    statistics: dict[str, Tensor] | None = None
    threads: int | None = None
    processes: int | None = None
    macs: dict[int, int] = field(default_factory=dict)
    begin: float | None = None

    def elapsed(self) -> float:
        """Return the wall time of the run so far, in seconds, without pauses between its parts."""
        return self.seconds + (0.0 if self.begin is None else time.perf_counter() - self.begin)

    def to_plain(self) -> dict[str, Any]:
        """Return the entries of a checkpoint."""
        plain: dict[str, Any] = {
            "iteration": self.iteration,
            "evaluation": _plain(self.measured.last),
            "best": _plain(self.measured.best),
            "metrics_length": self.measured.metrics_length,
            "seconds": self.elapsed(),
            "training_seconds": self.training_seconds,
            "threads": torch.get_num_threads(),
        }
        if process_count() > 1:
            plain["processes"] = process_count()
        if self.macs:
            plain["macs"] = dict(self.macs)
        if self.ended is not None:
            plain["ended"] = self.ended
        if self.before_end is not None:
            plain["before_end"] = asdict(self.before_end)
        if self.statistics is not None:
            plain["statistics"] = self.statistics
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "ProgressState":
        """Read what :meth:`to_plain` gave, or a version of it from before some entries existed.

        Raises:
            MtlError, KeyError, ValueError: if an entry is missing or is something else.
        """
        before, ended, threads = (plain.get(k) for k in ("before_end", "ended", "threads"))
        statistics, processes = plain.get("statistics"), plain.get("processes", 1)
        if ended is not None and not isinstance(ended, str):
            raise MtlError(f"ended should be a text, found {type(ended).__name__}")
        if statistics is not None and not (
            isinstance(statistics, dict)
            and all(isinstance(value, Tensor) for value in statistics.values())
        ):
            raise MtlError("statistics should hold tensors by name")
        measured = {
            "last": plain["evaluation"],
            "best": plain["best"],
            "metrics_length": plain["metrics_length"],
        }
        return cls(
            iteration=_COUNT.validate_python(plain["iteration"]),
            measured=_MEASURED.validate_python(measured),
            before_end=None if before is None else _MEASURED.validate_python(before),
            seconds=_SECONDS.validate_python(plain["seconds"]),
            training_seconds=_SECONDS.validate_python(plain["training_seconds"]),
            ended=ended,
            statistics=statistics,
            threads=None if threads is None else _COUNT.validate_python(threads),
            processes=_COUNT.validate_python(processes),
            macs=_COUNTS.validate_python(plain.get("macs", {})),
        )


_MEASURED = TypeAdapter(Measured)
_COUNT: TypeAdapter[int] = TypeAdapter(int)
_COUNTS: TypeAdapter[dict[int, int]] = TypeAdapter(dict[int, int])
_SECONDS: TypeAdapter[float] = TypeAdapter(float)


def _plain(value: Evaluation | Best | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)
