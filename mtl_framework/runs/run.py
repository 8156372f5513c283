"""A run drives a strategy's loop, evaluates, saves, and resumes where it was stopped.

A run's state is saved before the first step (so that what cannot be saved shows at once), after
every evaluation, and when a signal asks to stop. Its random numbers come from ``config.seed``: one
stream seeds the global generators before the networks are built, others batches and strategy.

The loop is here; what the run reads is :class:`Feed`, when it is measured and saved
:class:`Milestones`, its files are :class:`RunStore`, and whoever watches is in :class:`Observers`.
"""

import shlex
import time
from contextlib import ExitStack
from pathlib import Path

import torch
from rich.console import Console

from ..backbones.backbone import Backbone
from ..data.batches import BalancedBatches, Batch
from ..networks.candidates import CandidateMetrics, Candidates
from ..networks.evaluation import Evaluation, SplitMetrics
from ..networks.model import MultiTaskModel
from ..networks.result import Best, Result
from ..plugins.guard import Guard
from ..plugins.manager import Plugins
from ..strategies.step import Step
from ..support.devices import resolve_device
from ..support.distributed import is_distributed, is_first, wait_for_all
from ..support.errors import MtlError, ProcessLostError
from ..support.interrupts import ANSWER, Interrupted, Interrupts
from ..support.processes import agreed, own_device
from .advice import advice
from .assembly import Assembly, common_backbone
from .config import RunConfig
from .divergence import NotFiniteError
from .earlier_runs import write_earlier
from .feed import Feed
from .folder import RunFolder
from .milestones import Milestones
from .observers import MetricsFile, Observers
from .operations import Operations
from .outcome import result_of
from .reach import check_weighting_used, prepare_strategy
from .resolve import ResolvedConfig, resolved
from .starting import build, read_state
from .store import RunStore, store_of
from .strategy_checks import Steps, check_replacement

__all__ = ["Best", "Evaluation", "Interrupted", "Result", "Run", "SplitMetrics"]


class Run:
    """A run is a strategy at work on a suite, in a folder; :meth:`start` makes it.

    It has more than a dozen public names, most of which :class:`TrainingRun` promises.

    Attributes:
        config: the complete configuration, with every option of the strategy.
        directory: the run's folder.
        device: device of networks and batches.
        suite: the tasks.
        backbones: one for each task; where all tasks share one, each entry is that one.
        strategy: the strategy, which drives the training.
        strategy_name: name of the strategy in the configuration.
        iterations: number of steps that the run will do.
        batch_size: training examples of a task in a batch, where the task has no number of its own.
        eval_every: number of iterations between evaluations.
        log_every: number of iterations between lines of ``metrics.jsonl``.
    """

    def __init__(
        self,
        config: RunConfig,
        parts: Assembly,
        device: torch.device,
        store: RunStore,
        observers: Observers,
        guard: Guard,
    ) -> None:
        self.config = config
        self.directory = store.folder.path
        self.device = device
        self.suite, self.backbones, self.strategy = parts.suite, parts.backbones, parts.strategy
        self.strategy_name = config.strategy.name
        self.iterations, self.batch_size = config.iterations, config.batch_size
        self.eval_every, self.log_every = config.eval_every, config.log_every
        self._network = parts.network
        self._feed = Feed(parts.suite, parts.backbones, config, device, guard)
        self._store = store
        self._observers = observers
        self._milestones = Milestones(config, parts.strategy, device, self._feed, store, observers)
        self._guard = guard
        self._stop_reason: str | None = None
        self._checked_weighting = config.training.weighting is None

    @classmethod
    def start(
        cls,
        config: RunConfig | ResolvedConfig,
        plugins: Plugins,
        directory: Path,
        resume: bool = False,
        console: Console | None = None,
        claim: bool = True,
    ) -> "Run":
        """Check everything, build everything, then claim the folder.

        Args:
            config: configuration of the run; it is completed here unless :func:`resolve` has done
                so.
            plugins: where names are looked up; their hooks are told of the run.
            directory: folder for the run's files; it may not hold a run unless ``resume``.
            resume: whether to resume the run in ``directory``. Its config must be this one, but
                ``iterations`` may grow and the keys in ``CHANGEABLE`` may change. A run that
                was stopped before its first checkpoint starts again. Weights that the run once
                started from are not read again.
            console: shows messages and the progress bar; ``None``: nothing is shown.
            claim: whether to write into the folder; callers that pass False call :meth:`close`.

        Raises:
            MtlError: on anything wrong with names, options, device, folder or checkpoint, or if
                another process is at work in the folder; nothing was written then.
        """
        complete = resolved(config, plugins)
        config = complete.config
        device = own_device(resolve_device(config.device))
        folder, observers = RunFolder(directory), Observers(plugins, console)
        with ExitStack() as failed:
            failed.callback(folder.lock.release)
            state = read_state(folder, complete, plugins, resume) if claim else None
            start = build(complete, plugins, folder, state, device, observers)
            store = store_of(folder, config)
            run = cls(config, start.parts, device, store, observers, complete.guard)
            if state is not None:
                run._milestones.restore(state)
            if claim and is_first():
                folder.claim(config, start.parts.suite.record, start.known, new=not resume)
                write_earlier(folder.earlier, start.earlier)
            for hint in start.hints():
                observers.say(f"hint: {hint}")
            wait_for_all()  # nothing is written before all processes have read
            failed.pop_all()
        return run

    # -- what strategies and observers see -----------------------------------------------------

    @property
    def backbone(self) -> Backbone:
        """Return the backbone that all tasks have in common.

        Raises:
            MtlError: if tasks have their own.
        """
        common = common_backbone(self.backbones)
        if common is None:
            raise MtlError(f"tasks of suite {self.suite.name!r} have backbones of their own")
        return common

    @property
    def network(self) -> MultiTaskModel:
        """Return the strategy's networks."""
        return self._network

    @property
    def iteration(self) -> int:
        """Return the number of steps done so far."""
        return self._milestones.state.iteration

    @property
    def last_evaluation(self) -> Evaluation | None:
        """Return the newest evaluation; ``None`` before the first."""
        return self._milestones.state.measured.last

    @property
    def best(self) -> Best | None:
        """Return the evaluation with the best validation metric so far; ``None``: there is none."""
        return self._milestones.state.measured.best

    @property
    def seconds(self) -> float:
        """Return the wall time of the run so far in seconds, without pauses after interruptions."""
        return self._milestones.state.elapsed()

    def next_batch(self, source: BalancedBatches | None = None) -> Batch:
        """Return the next training batch of all tasks, on the device, inputs as floats.

        Args:
            source: a part from :meth:`split_batches`; default: all training examples.
        """
        return self._feed.next(source)

    def split_batches(self, share: float) -> tuple[BalancedBatches, BalancedBatches]:
        """Divide the training examples: batches of all but a share, and batches of that share.

        Every call in a run gives the same parts, from their beginning; their ``state_dict`` is the
        strategy's to keep.

        Args:
            share: share of a task's training examples in the second part, stratified by target.

        Raises:
            MtlError: if a task has too few examples, or reads streams.
        """
        return self._feed.split(share)

    def losses(self, step: Step) -> tuple[float | None, dict[str, float | None]]:
        """Return the mean loss of the newest step, and each task's; see :meth:`Feed.losses`."""
        return self._feed.losses(step)

    def validate(self, candidates: Candidates) -> tuple[CandidateMetrics, ...]:
        """Measure several candidates of every task on its validation examples.

        Strategies that choose while they train use it. Nothing of the run changes: neither modes,
        nor random generators, nor the order of the training examples.

        Args:
            candidates: a function of task and inputs that returns outputs (candidates, rows, ...).

        Raises:
            MtlError: if a task has no validation examples.
        """
        return self._feed.validate(self.network, candidates)

    def hint(self, text: str) -> None:
        """Show the user a hint, in one line that names what to set."""
        self._observers.say(f"hint: {text}")

    def stop(self, reason: str) -> None:
        """End the run after the step that is being done, as if it had no further iterations.

        Args:
            reason: why, in a few words; the result holds it.
        """
        self._stop_reason = reason

    def close(self) -> None:
        """End the worker processes that read its data."""
        self._feed.close()

    # -- running -------------------------------------------------------------------------------

    def execute(self) -> Result:
        """Train to the end, evaluate, and write the result.

        A run that is finished already only gives its result.

        Raises:
            Interrupted: after a SIGINT or SIGTERM; the state is saved.
            MtlError: if the loss, a parameter or a figure is not finite, if the strategy breaks
                its contract, or if a file cannot be written. What was saved before stays.
        """
        folder, milestones = self._store.folder, self._milestones
        state = milestones.state
        with ExitStack() as stack:
            stack.callback(folder.lock.release)
            if milestones.resumed:
                finished = folder.finished(self.iterations, state.ended is not None)
                if finished is not None:
                    done = f"{finished.iterations} iterations done"
                    self._observers.say(f"{self.directory} is finished: {done}")
                    return finished
            state.begin = time.perf_counter()
            if is_first():
                length = state.measured.metrics_length
                milestones.metrics = MetricsFile(folder.metrics, length)
            stack.enter_context(self._observers.watching(self, milestones.metrics, self.config))
            stack.callback(self._feed.close)
            interrupts = stack.enter_context(Interrupts(ANSWER if is_first() else ""))
            milestones.tidy()
            self._observers.tell("mtl_run_started")
            try:
                self._train(interrupts)
            except NotFiniteError as error:
                raise MtlError(f"{error}; {self._store.describe_kept()}") from error
            except ProcessLostError as error:
                raise ProcessLostError(f"{error}; {self._store.describe_kept()}") from error
            with self._guard("sharing"):
                result = result_of(self, self.config, self.strategy, state, self._guard)
            self._store.finish(result, self.strategy)
            self._observers.tell("mtl_run_finished", result=result)
        ended = f"ended after {result.iterations} iterations: {result.ended}; "
        self._observers.say((ended if result.ended is not None else "") + self._store.summary())
        for hint in advice(self.backbones, self.network, self.config, self.device):
            self.hint(hint)
        return result

    def _train(self, interrupts: Interrupts) -> None:
        milestones = self._milestones
        if not milestones.resumed:
            milestones.save()
        # a run that was stopped between a step and its evaluation owes that evaluation
        milestones.evaluate_if_due()
        operations = Operations.of(milestones.state, self.config, self.device)
        steps = Steps(self.strategy_name, self.strategy.optimize(self), operations.during)
        try:
            while not milestones.is_over():
                asked = self._advance(steps, interrupts)
                if asked is None:
                    milestones.evaluate_if_due()
                else:
                    milestones.save()
                done = milestones.is_over() and not milestones.is_due()
                if asked is not None and not done:
                    raise self._interrupted(asked)
        finally:
            steps.close()

    def _interrupted(self, number: int) -> Interrupted:
        folder = shlex.quote(str(self.directory))
        done = f"interrupted at iteration {self.iteration} of {self.iterations}, all saved"
        return Interrupted(number, f"{done}; go on with: mtl run --resume --output {folder}")

    def _advance(self, steps: Steps, interrupts: Interrupts) -> int | None:
        """Do one iteration, or end the training; return a signal that is to be answered."""
        milestones, begin = self._milestones, time.perf_counter()
        state = milestones.state
        self._feed.begin_step()
        step = steps.next(state.iteration + 1)
        # of several processes each has to do the same, whichever got the signal or the reason
        asked, self._stop_reason = agreed(interrupts.received, self._stop_reason)
        self._adopt()
        if step is None:
            if not state.iteration:
                raise MtlError(f"strategy {self.strategy_name!r} ended before its first iteration")
            state.ended = self._stop_reason or f"strategy {self.strategy_name!r} ended its training"
            if not milestones.is_due():
                milestones.save()
            return asked
        state.iteration += 1
        if self._stop_reason is not None and state.iteration < self.iterations:
            state.ended = self._stop_reason
        if not self._checked_weighting:
            check_weighting_used(self.strategy, self.config)
            self._checked_weighting = True
        milestones.watch.add(state.iteration, step.loss)
        if state.iteration % self.log_every == 0 or milestones.is_due():
            milestones.watch.check()  # waits for the device, so that the time is that of the steps
        state.training_seconds += time.perf_counter() - begin
        self._observers.tell("mtl_step", step=step)
        return asked if is_distributed() else interrupts.received

    def _adopt(self) -> None:
        """Take over networks that the strategy has put in place of those that it built."""
        new = self.strategy.network
        if new is self._network:
            return
        check_replacement(self.strategy_name, self._network, new)
        prepare_strategy(self.strategy, self.config, self.device)
        self._network = new
