"""``--json-lines`` of ``mtl run`` and ``mtl compare`` prints each event as a line of JSON."""

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
    """This observer prints ``started``, ``step``, ``evaluation`` and ``finished``.

    Each line names its event under ``event``. Steps and evaluations have the keys of
    ``metrics.jsonl``, steps every ``log_every`` iterations; ``finished`` has the content of
    ``result.json`` under ``result``.

    Args:
        write: function that gets every line.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Say where the run lies, and how many iterations are done and wanted."""
        about = {"directory": str(run.directory), "strategy": run.strategy_name}
        self._say("started", {**about, "iteration": run.iteration, "iterations": run.iterations})

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Say the numbers of a step, every ``log_every`` iterations."""
        if run.iteration % run.log_every == 0:
            self._say("step", step_line(run, step))

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Say the numbers of an evaluation."""
        self._say("evaluation", evaluation_line(run, evaluation))

    @hookimpl
    def mtl_run_finished(self, run: TrainingRun, result: Result) -> None:
        """Say the result."""
        self._say("finished", {"result": dataclasses.asdict(result)})

    def _say(self, event: str, content: Mapping[str, Any]) -> None:
        _say(self._write, event, content)


class ComparisonLines:
    """This listener prints ``started``, ``run`` and ``finished`` of a comparison.

    ``started`` lists all runs as they are at the beginning. ``run`` is a run whose state or
    iteration has changed, with its ``result`` once it is done, or the reason as ``error`` where it
    has failed; controls, which are planned when the others are done, come as ``run``, too.
    ``finished`` has the content of ``comparison.json`` under ``comparison``, or names the
    ``signal`` that stopped the comparison.

    Args:
        directory: the folder of the comparison.
        write: function that gets every line.
    """

    def __init__(self, directory: Path, write: Callable[[str], object]) -> None:
        self._directory, self._write = directory, write
        self._told: dict[Path, tuple[str, int]] = {}

    def show(self, tracked: "Sequence[Tracked]") -> None:
        """Print the runs that have changed since the last call; the first call prints all."""
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
        """Print how the comparison has ended.

        Args:
            file: path of ``comparison.json``.
            signal: the signal that stopped the comparison; ``None``: none did.
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
