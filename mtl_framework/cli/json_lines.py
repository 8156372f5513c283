"""``--json-lines`` of ``mtl run`` and ``mtl compare``: what happens, a line of JSON each."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..networks.evaluation import Evaluation
from ..networks.result import Result
from ..plugins.hookspecs import hookimpl
from ..runs.observers import evaluation_line, step_line
from ..strategies.context import TrainingRun
from ..strategies.step import Step

if TYPE_CHECKING:
    from ..comparisons.execution import Tracked


class JsonLines:
    """Says ``started``, ``step``, ``evaluation`` and ``finished`` as they come.

    The event stands under ``event``. Steps and evaluations have the keys of ``metrics.jsonl``,
    steps every ``log_every`` iterations; ``finished`` has the content of ``result.json`` under
    ``result``.

    Args:
        write: gets every line.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Where the run lies, and what is to be done."""
        about = {"directory": str(run.directory), "strategy": run.strategy_name}
        self._say("started", {**about, "iteration": run.iteration, "iterations": run.iterations})

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """A step, every ``log_every`` iterations."""
        if run.iteration % run.log_every == 0:
            self._say("step", step_line(run, step))

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """An evaluation."""
        self._say("evaluation", evaluation_line(run, evaluation))

    @hookimpl
    def mtl_run_finished(self, run: TrainingRun, result: Result) -> None:
        """The end."""
        self._say("finished", {"result": dataclasses.asdict(result)})

    def _say(self, event: str, content: Mapping[str, Any]) -> None:
        _say(self._write, event, content)


class ComparisonLines:
    """Says ``started``, ``run`` and ``finished`` of a comparison as they come.

    ``started`` lists all runs as they are at the beginning; ``run`` is one of them whose state or
    iteration has changed, with its ``result`` once it is done or the reason as ``error`` where it
    has failed; controls, which are planned when the others are done, come as ``run``, too.
    ``finished`` has the content of ``comparison.json`` under ``comparison``, or says which
    ``signal`` has ended it before.

    Args:
        directory: of the comparison.
        write: gets every line.
    """

    def __init__(self, directory: Path, write: Callable[[str], object]) -> None:
        self._directory, self._write = directory, write
        self._told: dict[Path, tuple[str, int]] = {}

    def show(self, tracked: "Sequence[Tracked]") -> None:
        """Say what has changed since the last call; the first one says everything."""
        if not self._told:
            runs = [_about(item) for item in tracked]
            _say(self._write, "started", {"directory": str(self._directory), "runs": runs})
            self._told = {item.folder: _state(item) for item in tracked}
            return
        for item in tracked:
            if self._told.get(item.folder) == _state(item):
                continue
            self._told[item.folder] = _state(item)
            about = _about(item)
            if item.state == "done" and item.status.result is not None:
                about["result"] = dataclasses.asdict(item.status.result)
            elif item.state == "failed":
                about["error"] = item.status.error
            _say(self._write, "run", about)

    def finish(self, file: Path, signal: int | None) -> None:
        """Say how it has ended.

        Args:
            file: ``comparison.json``.
            signal: that has ended it; ``None``: it has come to its end.
        """
        if signal is not None:
            _say(self._write, "finished", {"signal": signal})
            return
        _say(self._write, "finished", {"comparison": json.loads(file.read_bytes())})


def _state(item: "Tracked") -> tuple[str, int]:
    return item.state, item.status.iteration


def _about(item: "Tracked") -> dict[str, Any]:
    cell = item.cell
    return {
        "directory": str(item.folder),
        "strategy": cell.strategy,
        "suite": cell.suite,
        "backbone": cell.backbone,
        "seed": cell.seed,
        "control": None if cell.control is None else dataclasses.asdict(cell.control),
        "state": item.state,
        "iteration": item.status.iteration,
        "iterations": cell.config.iterations,
    }


def _say(write: Callable[[str], object], event: str, content: Mapping[str, Any]) -> None:
    write(json.dumps({"event": event, **content}, allow_nan=False))
