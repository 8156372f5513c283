"""One run: drives a strategy's loop, evaluates, saves, and goes on where it was stopped.

A run's state is saved before the first step (so that what cannot be saved shows at once), after
every evaluation, and when a signal asks to stop. Its random numbers come from ``config.seed``: one
stream seeds the global generators before the networks are built, others the batches and the
strategy.
"""

import functools
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from rich.console import Console
from torch import Tensor

from ..backbones.backbone import Backbone
from ..backbones.recurrent import carried_states, restore_states
from ..data.batches import BalancedBatches, Batch
from ..data.placement import place_inputs, usable_workers
from ..networks.batch_sizes import check_batch_sizes
from ..networks.candidates import CandidateMetrics, Candidates, validate
from ..networks.evaluation import Evaluation, SplitMetrics, evaluate
from ..networks.model import MultiTaskModel
from ..networks.reestimation import reestimate_statistics
from ..networks.result import Best, Result
from ..plugins.manager import Plugins
from ..strategies.strategy import Step
from ..support.devices import resolve_device
from ..support.errors import MtlError
from ..support.interrupts import Interrupted, Interrupts
from ..support.seeding import derive_seed, generator_states, restore_generators, seed_everything
from .assembly import (
    Assembly,
    announcement,
    assemble,
    check_memory,
    common_backbone,
    find_suite,
    normalizations,
)
from .config import RunConfig
from .divergence import LossWatch, NotFiniteError, check_evaluation, check_parameters
from .folder import RunFolder
from .load import load_run
from .observers import MetricsFile, Progress
from .outcome import result_of
from .resolve import ResolvedConfig, completed, resolved
from .strategy_checks import Steps

__all__ = ["Best", "Evaluation", "Interrupted", "Result", "Run", "SplitMetrics"]


class Run:
    """A strategy at work on a suite, in a folder. Made by :meth:`start`.

    Attributes:
        config: complete, with every option of the strategy.
        directory: the run's folder.
        device: where the network is and batches come to.
        suite: the tasks.
        backbones: one a task; where all share one, each entry is that one.
        strategy: drives the training.
        network: the strategy's networks.
        iteration: steps done so far.
        last_evaluation: the newest one, if there was one.
        best: the evaluation that validation prefers so far, where there is validation.
    """

    def __init__(
        self,
        config: RunConfig,
        plugins: Plugins,
        folder: RunFolder,
        parts: Assembly,
        device: torch.device,
        console: Console | None,
    ) -> None:
        self.config = config
        self.directory = folder.path
        self.device = device
        self.suite = suite = parts.suite
        self.backbones = parts.backbones
        self.strategy = parts.strategy
        self.network: MultiTaskModel = parts.network
        self.iteration = 0
        self.last_evaluation: Evaluation | None = None
        self.best: Best | None = None
        self._plugins = plugins
        self._folder = folder
        self._console = console
        self._normalizations = normalizations(suite, self.backbones)
        self._workers = usable_workers(config.data_workers)
        self._batches = BalancedBatches(
            suite,
            config.batch_size,
            derive_seed(config.seed, "batches"),
            device,
            self._normalizations,
            place_inputs(suite, config.keep_on_device, self._workers),
            self._workers,
        )
        self._masks: list[tuple[Tensor | None, ...]] = []  # of the batches of the newest step
        self._watch = LossWatch(suite.task_names, deferred=device.type != "cpu")
        self._observers: list[MetricsFile | Progress] = []
        self._metrics: MetricsFile | None = None
        self._metrics_length = 0
        self._resumed = False
        self._earlier_seconds = 0.0
        self._training_seconds = 0.0
        self._begin: float | None = None

    @classmethod
    def start(
        cls,
        config: RunConfig | ResolvedConfig,
        plugins: Plugins,
        directory: Path,
        resume: bool = False,
        console: Console | None = None,
    ) -> "Run":
        """Check everything, build everything, then claim the folder.

        Args:
            config: what to run; completed here unless :func:`resolve` has done so.
            plugins: where its names are looked up; they see the run through their hooks.
            directory: for the run's files; new, or without a run unless ``resume``.
            resume: go on with the run in ``directory``. Its config must be this one, but
                ``iterations`` may grow and ``device`` and ``log_every`` may change. A run that
                was stopped before its first checkpoint starts again.
            console: gets messages and the progress bar; ``None``: silent.

        Raises:
            MtlError: on anything wrong with names, options, device, folder or checkpoint; nothing
                was written then.
        """
        complete = resolved(config, plugins)
        config = complete.config
        device = resolve_device(config.device)
        folder = RunFolder(directory)
        state = None
        if resume:
            state = folder.load(config, lambda saved: completed(saved, plugins))
        else:
            folder.check_free()

        suite = find_suite(config, plugins)
        check_memory(config, suite)
        if state is not None:
            folder.check_data(suite.record)
        if console is not None:
            console.print(
                announcement(config, suite), markup=False, highlight=False, soft_wrap=True
            )
        seed_everything(derive_seed(config.seed, "weights"))
        strategy = complete.strategy(complete.options, seed=derive_seed(config.seed, "strategy"))
        parts = assemble(config, plugins, suite, strategy)
        check_batch_sizes(suite, parts.backbones, config.batch_size)
        network = parts.network
        network.precision, network.memory_budget = config.precision, config.memory_budget
        strategy.network = network.to(device)
        if state is None:
            strategy.warm_start(functools.partial(load_run, plugins=plugins))

        run = cls(config, plugins, folder, parts, device, console)
        if state is not None:
            run._restore(state)
        folder.claim(config, suite.record)
        if console is not None:
            hints = [*suite.notes, *(hint for b in parts.backbones for hint in b.hints)]
            for hint in dict.fromkeys(hints):
                console.print(f"hint: {hint}", markup=False, highlight=False, soft_wrap=True)
        return run

    # -- what strategies and observers see -----------------------------------------------------

    @property
    def backbone(self) -> Backbone:
        """The backbone that all tasks have in common.

        Raises:
            MtlError: if tasks have their own.
        """
        found = common_backbone(self.backbones)
        if found is None:
            raise MtlError(f"tasks of suite {self.suite.name!r} have backbones of their own")
        return found

    @property
    def strategy_name(self) -> str:
        """What the configuration calls the strategy."""
        return self.config.strategy.name

    @property
    def iterations(self) -> int:
        """Steps that the run will do."""
        return self.config.iterations

    @property
    def batch_size(self) -> int:
        """Training examples a task in every batch, where the task does not set its own."""
        return self.config.batch_size

    @property
    def eval_every(self) -> int:
        """Iterations between evaluations."""
        return self.config.eval_every

    @property
    def log_every(self) -> int:
        """Iterations between lines of ``metrics.jsonl``."""
        return self.config.log_every

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, without the time between an interruption and its end."""
        now = 0.0 if self._begin is None else time.perf_counter() - self._begin
        return self._earlier_seconds + now

    def next_batch(self) -> Batch:
        """The next training examples of every task, on the device, inputs as floats."""
        batch = self._batches.next()
        if batch.labelled:
            self._masks.append(batch.labelled)
        return batch

    def losses(self, step: Step) -> tuple[float | None, dict[str, float | None]]:
        """The mean loss of the newest step, and each task's where the strategy tells them apart.

        A task that a batch of the step had no label of, and whose loss is therefore 0, has none,
        and the mean leaves it out. Waits for the device.
        """
        loss, tasks = step.loss.detach().float().cpu(), self.suite.task_names
        if not loss.ndim or loss.shape[-1] != len(tasks):
            return float(loss.mean()), {}
        means = loss.reshape(-1, len(tasks)).mean(0).tolist()
        found: dict[str, float | None] = dict(zip(tasks, means, strict=True))
        if self._masks:
            for name, masks in zip(tasks, zip(*self._masks, strict=True), strict=True):
                # a step may draw several batches; which of them the loss is of is not known here
                if found[name] == 0 and any(m is not None and not bool(m.any()) for m in masks):
                    found[name] = None
        counted = [value for value in found.values() if value is not None]
        return (sum(counted) / len(counted) if counted else None), found

    def validate(self, candidates: Candidates) -> tuple[CandidateMetrics, ...]:
        """Measure several candidates of every task on its validation examples.

        For strategies that choose while they train. Nothing of the run changes: neither modes,
        nor random generators, nor the order of the training examples.

        Args:
            candidates: gives for a task and inputs the outputs (candidates, rows, ...) of all.

        Raises:
            MtlError: if a task has no validation examples.
        """
        return validate(
            self.network,
            self.suite,
            candidates,
            self.device,
            self.config.eval_batch_size,
            self._normalizations,
            self._workers,
        )

    def hint(self, text: str) -> None:
        """Tell the user something that helps, in one line that names what to set."""
        self._say(f"hint: {text}")

    # -- running -------------------------------------------------------------------------------

    def execute(self) -> Result:
        """Train to the end, evaluate, and write the result.

        A run that is finished already only gives its result.

        Raises:
            Interrupted: after a SIGINT or SIGTERM; the state is saved.
            MtlError: if the loss, a parameter or a figure is not finite, if the strategy breaks
                its contract, or if a file cannot be written. What was saved before stays.
        """
        if self._resumed and self.iteration == self.iterations and self._folder.result.exists():
            result = Result.load(self._folder.result)
            if result.iterations == self.iterations:
                self._say(f"{self.directory} is finished: {self.iterations} iterations done")
                return result
        self._begin = time.perf_counter()
        with ExitStack() as stack:
            self._metrics = MetricsFile(self._folder.metrics, self._metrics_length)
            self._observers = [self._metrics]
            if self._console is not None:
                self._observers.append(Progress(self._console))
            for observer in self._observers:
                stack.callback(observer.close)
            stack.enter_context(self._plugins.observing(self.config.observers))
            stack.callback(self._batches.close)
            interrupts = stack.enter_context(Interrupts())
            self._tidy()
            self._notify("mtl_run_started")
            try:
                self._train(interrupts)
            except NotFiniteError as error:
                raise MtlError(f"{error}; {self._kept()}") from error
            result = result_of(self, self._training_seconds / self.iteration)
            result.save(self._folder.result)
            self._notify("mtl_run_finished", result=result)
        return result

    def _train(self, interrupts: Interrupts) -> None:
        if not self._resumed:
            self._save()
        # a run that was stopped between a step and its evaluation owes that evaluation
        self._evaluate_if_due()
        steps = Steps(self.config.strategy.name, self.strategy.optimize(self))
        try:
            while self.iteration < self.iterations:
                self._advance(steps)
                if interrupts.received is None:
                    self._evaluate_if_due()
                else:
                    self._save()
                done = self.iteration == self.iterations and not self._is_due()
                if interrupts.received is not None and not done:
                    raise self._interrupted(interrupts.received)
        finally:
            steps.close()

    def _interrupted(self, number: int) -> Interrupted:
        folder = shlex.quote(str(self.directory))
        done = f"interrupted at iteration {self.iteration} of {self.iterations}, all saved"
        return Interrupted(number, f"{done}; go on with: mtl run --resume --output {folder}")

    def _advance(self, steps: Steps) -> None:
        """One iteration of the strategy."""
        begin = time.perf_counter()
        self._masks.clear()
        step = steps.next(self.iteration, self.iterations)
        self.iteration += 1
        self._watch.add(self.iteration, step.loss)
        if self.iteration % self.config.log_every == 0 or self._is_due():
            self._watch.check()  # waits for the device, so that the time is that of the steps
        self._training_seconds += time.perf_counter() - begin
        self._notify("mtl_step", step=step)

    def _is_due(self) -> bool:
        """Whether an evaluation should follow now and has not been done."""
        last = self.last_evaluation
        now = self.iteration % self.config.eval_every == 0 or self.iteration == self.iterations
        return self.iteration > 0 and now and (last is None or last.iteration != self.iteration)

    def _evaluate_if_due(self) -> None:
        if not self._is_due():
            return
        self._check_finite()
        if self.config.reestimate_statistics:
            batches = self._coming_batches(self.config.reestimate_statistics)
            reestimate_statistics(self.network, batches, self.device)
        evaluation = evaluate(
            self.network,
            self.suite,
            self.iteration,
            self.device,
            self.config.eval_batch_size,
            self._normalizations,
            self._workers,
        )
        check_evaluation(evaluation)
        self.last_evaluation = evaluation
        candidate = Best.of(evaluation)
        if candidate is not None and (self.best is None or candidate.is_better_than(self.best)):
            self.best = candidate
            state = {"config": self._plain_config(), "network": self.network.state_dict()}
            self._folder.checkpoints.save("best", self.iteration, state)
        self._notify("mtl_evaluated", evaluation=evaluation)
        self._save()

    def _coming_batches(self, count: int) -> Iterator[Batch]:
        """The next training batches, which training reads again."""
        state = self._batches.state_dict()
        try:
            for _ in range(count):
                yield self._batches.next()
        finally:
            self._batches.load_state_dict(state)

    def _check_finite(self) -> None:
        self._watch.check()
        check_parameters(self.network, self.iteration)

    # -- saving and restoring ------------------------------------------------------------------

    def _save(self) -> None:
        """Write the state that :meth:`_restore` reads; never from networks that have diverged."""
        assert self._metrics is not None
        self._check_finite()
        state = {
            "config": self._plain_config(),
            "iteration": self.iteration,
            "strategy": self.strategy.state_dict(),
            "batches": self._batches.state_dict(),
            "recurrent": carried_states(self.network),
            "generators": generator_states(self.device),
            "evaluation": None if self.last_evaluation is None else asdict(self.last_evaluation),
            "best": None if self.best is None else asdict(self.best),
            "metrics_length": self._metrics.sync(),
            "seconds": self.seconds,
            "training_seconds": self._training_seconds,
        }
        self._folder.checkpoints.save("last", self.iteration, state)
        self._tidy()

    def _restore(self, state: Mapping[str, Any]) -> None:
        try:
            self.strategy.load_state_dict(state["strategy"])
            self._batches.load_state_dict(state["batches"])
            restore_states(self.network, state["recurrent"])
            evaluation, best = state["evaluation"], state["best"]
            if evaluation is not None:
                self.last_evaluation = TypeAdapter(Evaluation).validate_python(evaluation)
            if best is not None:
                self.best = TypeAdapter(Best).validate_python(best)
            self._metrics_length = int(state["metrics_length"])
            self._earlier_seconds = float(state["seconds"])
            self._training_seconds = float(state["training_seconds"])
            self.iteration = int(state["iteration"])
            restore_generators(state["generators"], self.device)
        except (MtlError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            where = self._folder.checkpoints.stem("last", state["iteration"])
            raise MtlError(f"checkpoint {where} does not fit this run: {reason}") from error
        self._resumed = True

    def _tidy(self) -> None:
        """Remove checkpoints that nothing refers to any more."""
        kept = [("last", self.iteration)]
        if self.best is not None:
            kept.append(("best", self.best.iteration))
        self._folder.checkpoints.keep_only(kept)

    def _plain_config(self) -> dict[str, Any]:
        return self.config.model_dump(mode="json")

    def _kept(self) -> str:
        iteration = self._folder.checkpoints.latest("last")
        if iteration is None:
            return "nothing was saved yet"
        return f"the state of iteration {iteration} is kept in {self.directory}"

    # -- telling -------------------------------------------------------------------------------

    def _notify(self, hook: str, **found: Any) -> None:
        for observer in self._observers:
            if hasattr(observer, hook):
                getattr(observer, hook)(run=self, **found)
        self._plugins.notify(hook, run=self, **found)

    def _say(self, text: str) -> None:
        if self._console is not None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
