"""``mtl run --json-lines``: what happens, a line of JSON each, for a program that reads along."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from ..networks.evaluation import Evaluation
from ..networks.result import Result
from ..plugins.hookspecs import hookimpl
from ..runs.observers import evaluation_line, step_line
from ..strategies.context import TrainingRun
from ..strategies.step import Step


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
        self._write(json.dumps({"event": event, **content}, allow_nan=False))
