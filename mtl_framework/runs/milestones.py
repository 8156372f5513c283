"""Milestones of a run are its evaluations and checkpoints, from which it is resumed."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch

from ..networks.evaluation import can_be_averaged
from ..networks.reestimation import reestimated
from ..networks.result import Best
from ..networks.several import average_statistics, check_alike
from ..strategies.strategy import Strategy
from ..support.distributed import process_count
from ..support.seeding import generator_states, restore_generators
from .choices import early_end
from .config import RunConfig
from .divergence import LossWatch, check_evaluation, check_parameters
from .feed import Feed
from .observers import MetricsFile, Observers
from .progress_state import Measured, ProgressState
from .reach import weightings
from .store import RunStore


class Milestones:
    """Milestones evaluate and save one run when it is time, and restore it.

    Args:
        config: configuration of the run.
        strategy: the strategy whose networks are evaluated and whose state is saved.
        device: device of the run.
        feed: reads the examples.
        store: writes the files.
        observers: are told of evaluations.

    Attributes:
        state: how far the run has come.
        watch: notices losses that are not finite.
        metrics: the metrics file, while the run trains; ``None`` where this process writes none.
        resumed: whether the run was resumed from a checkpoint.
    """

    def __init__(
        self,
        config: RunConfig,
        strategy: Strategy,
        device: torch.device,
        feed: Feed,
        store: RunStore,
        observers: Observers,
    ) -> None:
        self.config = config
        self.state = ProgressState()
        self.watch = LossWatch(feed.suite.task_names, deferred=device.type != "cpu")
        self.metrics: MetricsFile | None = None
        self.resumed = False
        self._strategy = strategy
        self._device = device
        self._feed = feed
        self._store = store
        self._observers = observers

    def is_over(self) -> bool:
        """Say whether no further step is to be done."""
        return self.state.ended is not None or self.state.iteration >= self.config.iterations

    def is_due(self) -> bool:
        """Say whether an evaluation should follow now and has not been done."""
        iteration, last = self.state.iteration, self.state.measured.last
        now = iteration % self.config.eval_every == 0 or self.is_over()
        return iteration > 0 and now and (last is None or last.iteration != iteration)

    def evaluate_if_due(self) -> None:
        """Measure the networks and save, where it is time.

        Raises:
            MtlError: if something is not finite, or a file cannot be written.
        """
        if not self.is_due():
            return
        self._check_finite()
        state, former, network = self.state, self.state.measured, self._strategy.network
        average_statistics(network)
        length = 0 if self.metrics is None else self.metrics.length()
        recipe = self._strategy.recipe
        raw = self._feed.evaluate(network, state.iteration) if recipe.evaluates_both else None
        with ExitStack() as stack:
            stack.enter_context(recipe.averaged())
            state.statistics = None
            if self.config.reestimate_statistics:
                batches = self._feed.coming(self.config.reestimate_statistics)
                measured = reestimated(network, batches, self._device)
                state.statistics = stack.enter_context(measured)
            details: dict[str, Any] = {}
            evaluation = self._feed.evaluate(network, state.iteration, details)
            maps = self._feed.map_samples(network)
        if raw is not None:
            evaluation.splits.update({f"raw {split}": of for split, of in raw.splits.items()})
        check_evaluation(evaluation)
        # a longer run would not have made this evaluation: if the run is extended, it never was
        extra = state.iteration % self.config.eval_every != 0
        state.before_end = Measured(former.last, former.best, length) if extra else None
        candidate, best = Best.of(evaluation, self._feed.assignment(network)), former.best
        averaged = can_be_averaged([task.metric for task in self._feed.suite.tasks])
        better = candidate is not None and (
            best is None or candidate.is_better_than(best, averaged)
        )
        state.measured = Measured(evaluation, candidate if better else best)
        recipe.evaluated(evaluation)
        if state.ended is None:
            state.ended = early_end(self.config, state)
        self._observers.tell("mtl_evaluated", evaluation=evaluation)
        # nothing of a plugin's runs between the two: they hold the same tensors
        if better:
            self._store.save_details("best", state.iteration, details, maps)
            with recipe.averaged():
                self._store.save_best(state.iteration, network, state.statistics or {})
        if self.is_over():
            self._store.save_details("last", state.iteration, details, maps)
        self.save()

    def save(self) -> None:
        """Write all that resuming needs; networks that have diverged are never saved.

        Raises:
            MtlError: if something is not finite, or a file cannot be written.
        """
        self._check_finite()
        state, network = self.state, self._strategy.network
        average_statistics(network)
        check_alike(network, state.iteration, self.config.strategy.name)
        if state.measured.last is None or state.measured.last.iteration != state.iteration:
            state.statistics, state.before_end = None, None
        rest = {
            **state.to_plain(),
            "batches": self._feed.state_dict(),
            "generators": generator_states(self._device),
            "metrics_length": 0 if self.metrics is None else self.metrics.sync(),
        }
        weighting = [made.state_dict() for made in weightings(self._strategy)]
        if any(weighting):
            rest["weighting"] = weighting
        self._store.save_last(state.iteration, self._strategy, rest)
        self.tidy()

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Resume from what :meth:`save` wrote.

        Raises:
            MtlError: if it does not fit this run.
        """
        try:
            state = ProgressState.from_plain(saved)
            self._store.restore(saved, self._strategy)
            made = weightings(self._strategy)
            states = saved.get("weighting", [{}] * len(made))
            for weighting, own in zip(made, states, strict=True):
                weighting.load_state_dict(own)
            self._feed.load_state_dict(saved["batches"])
            restore_generators(saved["generators"], self._device)
            extended = self.config.iterations > saved["config"]["iterations"]
        except Exception as error:  # whatever a strategy says of a state that is not its own
            raise self._store.misfit(saved.get("iteration"), error) from error
        if extended:
            state.ended = None
            self._say_what_extending_changes(saved["config"]["iterations"])
        if self.config.iterations > state.iteration and state.before_end and state.ended is None:
            state.measured, state.before_end = state.before_end, None
        self._say_what_rounds_otherwise(state)
        self.state = state
        self.resumed = True

    def _say_what_rounds_otherwise(self, state: ProgressState) -> None:
        threads, processes = torch.get_num_threads(), process_count()
        if state.processes not in (None, processes):
            self._observers.say(
                f"hint: the run had {state.processes} process{'es' * (state.processes != 1)} until "
                f"now and has {processes} from here on: sums are rounded differently, and batch "
                "norms see parts of another size"
            )
        elif self._device.type == "cpu" and state.threads not in (None, threads):
            self._observers.say(
                f"hint: the run had {state.threads} threads until now and has {threads} from here "
                "on: sums are rounded differently, so that it equals an undisturbed run only nearly"
            )

    def _say_what_extending_changes(self, before: int) -> None:
        options = self._strategy.length_options()
        if options:
            self._observers.say(
                f"hint: {' and '.join(options)} went by the {before} iterations that the run was "
                f"to have, from here on by {self.config.iterations}: it is another run than one of "
                f"{self.config.iterations} iterations from the start"
            )

    def tidy(self) -> None:
        """Remove checkpoints that nothing refers to any more."""
        measured = [m for m in (self.state.measured, self.state.before_end) if m is not None]
        best = [m.best.iteration for m in measured if m.best is not None]
        self._store.tidy(self.state.iteration, *best)

    def _check_finite(self) -> None:
        self.watch.check()
        check_parameters(self._strategy.network, self.state.iteration)
