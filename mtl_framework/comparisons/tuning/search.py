"""Trials are run side by side, ended early by their curves, and told to the study."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...networks.evaluation import SplitMetrics
from ...networks.result import Result
from ...plugins.manager import Plugins
from ...runs.folder import RunFolder
from ...runs.records import read_history
from ...support.errors import MtlError
from ...support.files import kind_of, names_in, remove_quietly
from ...support.interrupts import Interrupts
from ..cells import inspect
from ..grid import Cell
from ..processes import Executor
from .config import Tuning
from .study import WHY, again, ask, draw, own_running

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

RUNS = "runs"
_PAUSE = 0.2  # seconds between two looks at the trials
_MOST_FAILED = 3  # trials that fail before any other has ended

Tell = Callable[[int], None]


@dataclass
class TrialAtWork:
    """A trial at work has a run for each seed, done one after another."""

    trial: "Trial"
    cells: list[tuple[Cell, Path]]
    at: int = 0
    seen: set[int] = field(default_factory=set)
    values: list[float] = field(default_factory=list)
    read: int = 0
    pruned: bool = False

    @property
    def cell(self) -> Cell:
        """Return the cell that is run now."""
        return self.cells[self.at][0]

    @property
    def folder(self) -> Path:
        """Return the folder of the cell that is run now."""
        return self.cells[self.at][1]


class Search:
    """The search asks for trials, runs them, and tells the study what came out.

    Args:
        tuning: what is searched, and how.
        study: the study.
        directory: folder of the search; runs lie below its folder ``runs``.
        plugins: plugins in which names are looked up.
        executor: the executor that runs the cells.
        workers: number of cells that the executor runs at a time.
        tell: function that gets the number of every trial that has ended.
    """

    def __init__(
        self,
        tuning: Tuning,
        study: "Study",
        directory: Path,
        plugins: Plugins,
        executor: Executor,
        workers: int,
        tell: Tell,
    ) -> None:
        self.tuning, self.study, self.directory = tuning, study, directory
        self.plugins, self.executor, self.workers, self.tell = plugins, executor, workers, tell
        self._left = own_running(study, directory)
        self._active: list[TrialAtWork] = []

    def work(self) -> int | None:
        """Work until all trials have ended; return the signal that stopped it, if one did.

        Raises:
            MtlError: if the first trials all fail, or the suite has no validation examples.
        """
        with Interrupts("stopping: runs finish their step and save it") as interrupts:
            try:
                while interrupts.received is None:
                    self._fill()
                    if not self._active:
                        break
                    for ended in self.executor.ended():
                        item = next(i for i in self._active if i.cell == ended.cell)
                        self._look(item)
                        self._ended(item, ended.ok)
                    for item in list(self._active):
                        self._look(item)
                    time.sleep(_PAUSE)
            finally:
                self.executor.stop()
        return interrupts.received

    def _fill(self) -> None:
        while self.executor.has_room() and len(self._active) < self.workers:
            if self._left:
                trial = again(self.study, self._left.pop(0))
            else:
                asked = ask(self.study, self.tuning, self.directory)
                if asked is None:
                    return
                trial = asked
            self._begin(trial)

    def _begin(self, trial: "Trial") -> None:
        values = draw(self.study, trial, self.tuning, self.workers)
        cells = []
        try:
            for seed in range(self.tuning.config.seeds):
                config = self.tuning.run_config(self.plugins, values, seed)
                cell = Cell(
                    f"trial {trial.number}", config.suite.name, config.backbone.name, config
                )
                cells.append((cell, self.directory / run_folder(trial.number, config.seed)))
        except MtlError as error:  # options that do not go together
            self._tell_failure(trial, str(error))
            return
        frozen = self.study._storage.get_trial(trial._trial_id)
        item = TrialAtWork(trial, cells, seen=set(frozen.intermediate_values))
        self._active.append(item)
        self._start(item)

    def _start(self, item: TrialAtWork) -> None:
        """Run the trial's next cell that is not done."""
        while True:
            status = inspect(item.folder, item.cell.config, self.plugins)
            if status.state != "done":
                self.executor.start(item.cell, item.folder)
                return
            self._look(item)
            if not self._add(item):
                return

    def _look(self, item: TrialAtWork) -> None:
        """Report what validation says of the trial's first run, and end it if it is hopeless."""
        metrics = RunFolder(item.folder).metrics
        size = metrics.stat().st_size if kind_of(metrics) == "file" else 0
        if item.at or item.pruned or size == item.read:
            return
        item.read = size
        for iteration, splits in read_history(metrics).evaluations:
            if iteration in item.seen:
                continue
            if "validation" not in splits:
                raise MtlError(_no_validation(item))
            value = SplitMetrics(**splits["validation"]).overall
            item.seen.add(iteration)
            if not math.isfinite(value):
                continue
            item.trial.report(value, iteration)
            if item.trial.should_prune():
                item.pruned = True
                self.executor.cancel(item.cell)
                return

    def _ended(self, item: TrialAtWork, ok: bool) -> None:
        if item.pruned:
            self._end(item)
        elif not ok:
            status = inspect(item.folder, item.cell.config, self.plugins)
            self._active.remove(item)
            self._tell_failure(item.trial, status.error or "the run was stopped")
        elif self._add(item):
            self._start(item)

    def _add(self, item: TrialAtWork) -> bool:
        """Count the run that is done; say whether the trial has another one to do."""
        if not item.pruned:
            item.values.append(self._figure(item, Result.load(item.folder)))
            if item.at + 1 < len(item.cells):
                item.at += 1
                return True
        self._end(item)
        return False

    def _figure(self, item: TrialAtWork, result: Result) -> float:
        split: SplitMetrics | None = result.validation
        if self.tuning.config.select == "best" and result.best is not None:
            split = result.best.validation
        if split is None:
            raise MtlError(_no_validation(item))
        return split.overall

    def _end(self, item: TrialAtWork) -> None:
        from optuna.trial import TrialState

        self._active.remove(item)
        if item.pruned:
            for _, folder in item.cells:
                _forget_weights(folder)
            self.study.tell(item.trial, state=TrialState.PRUNED)
        else:
            self.study.tell(item.trial, sum(item.values) / len(item.values))
        self.tell(item.trial.number)

    def _tell_failure(self, trial: "Trial", why: str) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr(WHY, why)
        self.study.tell(trial, state=TrialState.FAIL)
        self.tell(trial.number)
        ended = [t.state for t in self.study.get_trials(deepcopy=False) if t.state.is_finished()]
        if len(ended) >= _MOST_FAILED and set(ended) == {TrialState.FAIL}:
            raise MtlError(f"the first {len(ended)} trials failed, the last one thus: {why}")


def run_folder(trial: int, seed: int) -> str:
    """Return the folder of a trial's run, within the folder of the search."""
    return f"{RUNS}/{trial:04d}-s{seed}"


def _no_validation(item: TrialAtWork) -> str:
    suite = item.cell.config.suite.name
    return (
        f"suite {suite!r} has no validation examples for every task, by which options are chosen "
        f"(never by test): give it some, e.g. suite.validation_per_task; `mtl describe --suite "
        f"{suite}` lists its options"
    )


def _forget_weights(folder: Path) -> None:
    """Remove the checkpoint of a trial that was ended early: nothing goes on with it."""
    checkpoints = RunFolder(folder).checkpoints.directory
    if kind_of(checkpoints) == "folder":
        for name in names_in(checkpoints):
            remove_quietly(checkpoints / name)
