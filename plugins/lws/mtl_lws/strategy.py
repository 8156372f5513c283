"""Learned weight sharing finds the sharing by evolution strategy, the weights by Adam.

Prellberg and Kramer, "Learned Weight Sharing for Deep Multi-Task Learning by Natural Evolution
Strategy and Stochastic Gradient Descent", IJCNN 2020, arXiv 2003.10159.

==========  =============================================  ======================================
paper       meaning                                        here
==========  =============================================  ======================================
L, T, K     layers, tasks, weights of a layer              units, tasks, ``weights_per_unit``
pi          parameters of the search distribution          ``distribution.pi`` (units, tasks, K)
p(a | pi)   search distribution, equation 24               :class:`SearchDistribution`
a           assignment: the weight of each layer and task  ``assignments`` (samples, units, tasks)
theta       all weights                                    ``network.parameters()``
f(theta,a)  mean loss over tasks under an assignment       ``network.losses(batch, a).mean(1)``
lambda_pi   samples of the search step                     ``nes_samples``
lambda_th   samples of the weight step                     ``weight_samples``
eta_pi      step size of the search                        ``nes_learning_rate``
eta_theta   step size of the weights                       ``learning_rate``
u           utilities of the ranked samples, equation 12   :meth:`SearchDistribution.step`
==========  =============================================  ======================================

Where the published code does otherwise an option names both (``published_code.py``); what the
paper does not have lies in ``beyond/``, one idea a file, and is off with ``preset: paper``, which
is Algorithm 1 as it stands. By default everything is shared at first (``shared_start``), then
samples are ranked by each task's own loss on examples held out for it, at a rate that rises, and
the last quarter of the run trains what was found alone.
"""

import math
from collections.abc import Generator, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mtl_framework import (
    Backbone,
    RowLossNetworks,
    Step,
    Strategy,
    StrategyConfig,
    TaskNetworks,
    TrainingRun,
)
from mtl_framework.data import Batch, Suite

from .beyond import affinity, credit, price, sampling
from .beyond.gumbel import GumbelSearch
from .beyond.hardening import Hardening, too_late
from .beyond.leaning import lean_towards_prior
from .beyond.search_data import SearchData, default_share
from .config import LwsConfig
from .presets import PRESETS
from .published_code import scale_by_usage, zero_missing_gradients
from .start import initial_distribution

_MOST_CHOICES = 512  # of assignments that are written down while training
_UNDECIDED = 0.5  # share of the largest entropy above which a search has decided little


class LearnedWeightSharing(Strategy):
    """Every iteration moves the search distribution, then the weights (Algorithm 1).

    Each task picks one of K weights at every unit. f(weights, assignment) is the mean over tasks of
    each task's mean loss, as in the paper, whatever the tasks' batch sizes. Weights that no sample
    of a step uses stay as they are (``unused_weights``). ``network.assignment`` is always the most
    probable assignment.
    """

    Config: ClassVar[type[StrategyConfig]] = LwsConfig
    config: LwsConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    network: TaskNetworks

    @classmethod
    def control_options(cls, config: StrategyConfig) -> dict[str, float]:
        """Tasks that roam settle when a search would be frozen, if it ever is."""
        assert isinstance(config, LwsConfig)
        return {"settle": 1 - config.freeze_after} if config.freeze_after < 1 else {}

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Make banks of K weights for every unit, and a search distribution (line 23)."""
        config = self.config
        weights = config.weights_per_unit or len(suite)
        self.distribution = initial_distribution(
            config.initial_distribution, len(backbone.units), len(suite), weights, config.p_min
        )
        self.network = self._networks(backbone, suite, weights)
        self.network.initialize(config.initialization_of(backbone))
        self.shared_start = config.make_shared_start()
        if self.shared_start is None:  # otherwise all tasks use weight 0 for now
            self.network.assignment.copy_(self.distribution.mode())
        self.optimizer = self.make_optimizer(
            self.network, "adam", config.learning_rate, eps=config.epsilon
        )
        self.generator = torch.Generator().manual_seed(self.seed)
        self._costs = price.unit_costs(self.network) if config.price else None
        # made only where they are used: their state is part of a checkpoint
        self.hardening = self._hardening()
        self.data = self._search_data(suite)
        self.gumbel = self._gumbel_search() if config.estimator == "gumbel" else None
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Run Algorithm 1, with a batch of its own for each of the two steps."""
        if run.iteration == 0:
            if self._no_search_data:
                run.hint(f"samples are ranked on training batches, as {self._no_search_data}")
            shares = self.config.shared_start, self.config.freeze_after
            if told := too_late(*shares, self.recipe.rate_left):
                run.hint(told)
            if self.config.prior != "none":
                self._lean_towards_prior(run)
        while True:
            metrics: dict[str, Tensor | float] = {}
            searches = not self._shares(run) and self._searches(run)
            if searches and self.config.ranked_on == "search_step":
                nes_losses = self.search_step(self._search_batch(run), self._rate(run))
                metrics["nes_loss"] = nes_losses.mean()
            losses = self.weight_step(self._weight_batch(run), self._rate(run) if searches else 0.0)
            metrics["entropy"] = self.distribution.entropy()
            if self._costs is not None:
                metrics["size"] = price.expected_size(self.distribution.pi, self._costs)
            if self.network.assignment.numel() <= _MOST_CHOICES:
                metrics["assignment"] = self.network.assignment
            if searches and run.iteration + 1 == run.iterations:
                self._tell_undecided(run, self.distribution.entropy())
            yield Step(losses, metrics)

    def search_step(
        self, batch: Batch, rate: float | None = None
    ) -> Float[Tensor, "samples tasks"]:
        """Move pi along the natural gradient; networks are evaluated, not trained.

        1. a_1 ... a_lambda are drawn from p(a | pi).
        2. f(theta, a_i) on one batch, without gradients.
        3. Utilities from the ranks (equation 12), natural gradient (equations 11 and 29).
        4. pi moves by eta_pi, is clamped to p_min and renormalised (section IV).

        Args:
            batch: the batch that all samples are ranked on.
            rate: step size of the search; default: ``nes_learning_rate``.
        """
        network = self.network
        network.eval()
        if self.gumbel is not None:
            return self._differentiate(self.gumbel, batch, rate)
        assignments = self._ranked_samples(self.config.nes_samples)
        with torch.no_grad():
            # every process draws the same assignments and must rank them alike
            losses = network.averaged_losses(batch, network.losses(batch, assignments))
        self._move(batch, assignments, losses, rate)
        return losses

    def weight_step(
        self, batch: Batch, rate: float | None = None
    ) -> Float[Tensor, "samples tasks"]:
        """Move the weights along the mean gradient over sampled assignments (equation 13).

        Args:
            batch: the batch whose losses have the gradients.
            rate: step size of the search where this step's own losses rank its samples
                (``ranked_on: weight_step``); default: ``nes_learning_rate``.
        """
        config, network = self.config, self.network
        network.train()
        alone = self._frozen or self._all_shared  # one assignment alone is trained
        samples = 1 if alone else config.weight_samples
        ranks = config.ranked_on == "weight_step" and not alone
        if self._all_shared:
            assignments = torch.zeros_like(network.assignment)[None]
        elif ranks:
            assignments = self._ranked_samples(samples)
        else:
            assignments = sampling.draw(self.distribution, samples, self.generator, config.sampling)
        self.optimizer.zero_grad()
        losses = network.accumulate_gradients(batch, assignments)
        if config.gradient_scaling == "usage" and self.optimizer.moves_next:
            scale_by_usage(network, self.distribution, assignments[0] if alone else None)
        if config.unused_weights == "momentum":
            zero_missing_gradients(network, self.optimizer.inner)
        self.optimizer.step()
        if ranks:
            self._move(batch, assignments, losses, rate)
        return losses

    def _move(
        self,
        batch: Batch,
        assignments: Int64[Tensor, "samples units tasks"],
        losses: Float[Tensor, "samples tasks"],
        rate: float | None,
    ) -> None:
        """Move pi by the ranks of samples (steps 3 and 4 of a search step)."""
        config = self.config
        ranked = credit.ranked(self._with_price(losses.cpu(), assignments), config.credit)
        correction = sampling.centring_correction(
            len(self.distribution.pi), len(assignments), config.sampling
        )
        rate = config.nes_learning_rate if rate is None else rate
        self.distribution.step(
            assignments, ranked, rate * correction, config.p_min, config.ties, self._judged(batch)
        )
        self.network.assignment.copy_(self.distribution.mode())

    def _judged(self, batch: Batch) -> Bool[Tensor, " tasks"] | None:
        """Return tasks with a label in any process's batch, where tasks rank by their own loss."""
        if self.config.credit == "joint":
            return None
        return self.network.labelled_anywhere(batch)

    def _tell_undecided(self, run: TrainingRun, entropy: float) -> None:
        most = math.log(self.distribution.pi.shape[-1])
        if entropy > _UNDECIDED * most > 0:
            run.hint(
                f"the search ends undecided (entropy {entropy:.2f} of {most:.2f} nats), so that "
                "much of the assignment is left to chance: a longer run or a higher "
                "nes_learning_rate decides more"
            )

    # -- what goes beyond the paper: each line is the paper's where its option is off ------------

    def _networks(self, backbone: Backbone, suite: Suite, weights: int) -> TaskNetworks:
        if self.config.prior != "affinity":
            return TaskNetworks(backbone, suite.tasks, weights)
        affinity.check_common_input(suite)
        return RowLossNetworks(backbone, suite.tasks, weights)

    def _search_data(self, suite: Suite) -> SearchData | None:
        config = self.config
        share, self._no_search_data = config.search_data or 0.0, None
        if config.search_data is None and config.ranked_on == "search_step":
            share, self._no_search_data = default_share(suite)
        return SearchData(share, config.fold_back) if share else None

    def _gumbel_search(self) -> GumbelSearch:
        config = self.config
        temperatures = config.temperature, config.last_temperature
        return GumbelSearch(
            self.distribution, temperatures, config.p_min, self._costs, config.price
        )

    def _differentiate(
        self, search: GumbelSearch, batch: Batch, rate: float | None
    ) -> Float[Tensor, "samples tasks"]:
        rate = self.config.nes_learning_rate if rate is None else rate
        losses = search.step(self.network, batch, self.config.nes_samples, rate, self.generator)
        self.network.assignment.copy_(self.distribution.mode())
        return losses

    def _ranked_samples(self, samples: int) -> Int64[Tensor, "samples units tasks"]:
        config = self.config
        way = credit.differ_at_one_unit if config.credit == "unit" else sampling.draw
        return way(self.distribution, samples, self.generator, config.sampling)

    def _with_price(
        self,
        losses: Float[Tensor, "samples tasks"],
        assignments: Int64[Tensor, "samples units tasks"],
    ) -> Float[Tensor, "samples tasks"]:
        if self._costs is None:
            return losses
        if self.config.credit == "joint":
            return losses + self.config.price * price.size(assignments, self._costs)[:, None]
        own = price.own_size(assignments, self.distribution.pi, self._costs)
        return losses + self.config.price * own

    def length_options(self) -> list[str]:
        """Name the options of the search, and of held-out examples, that are shares of the run."""
        config = self.config
        used = {
            "nes_schedule": config.nes_schedule != "constant",
            "freeze_after": config.freeze_after < 1,
            "shared_start": self.shared_start is not None,
            "fold_back": self.data is not None and config.fold_back > 0,
            "temperature": self.gumbel is not None
            and config.temperature != config.last_temperature,
        }
        return [f"strategy.{name}" for name, matters in used.items() if matters]

    @property
    def _frozen(self) -> bool:
        return self.hardening is not None and self.hardening.frozen

    @property
    def _all_shared(self) -> bool:
        return self.shared_start is not None and not self.shared_start.over

    def _shares(self, run: TrainingRun) -> bool:
        start, mode = self.shared_start, self.distribution.mode()
        return start is not None and start.is_on(run, self.network, self.optimizer, mode)

    def _hardening(self) -> Hardening | None:
        config = self.config
        if config.freeze_after == 1 and config.nes_schedule == "constant":
            return None
        return Hardening(config.nes_schedule, config.freeze_after, config.shared_start)

    def _searches(self, run: TrainingRun) -> bool:
        done = run.iteration / run.iterations
        if self.hardening is not None and not self._frozen:
            entropy = self.distribution.entropy()
            self.hardening.update(self.distribution, done)
            if self._frozen:
                self._tell_undecided(run, entropy)
        if self.gumbel is not None:
            start, end = self.config.shared_start, self.config.freeze_after
            self.gumbel.cool((done - start) / (end - start))
        return not self._frozen

    def _rate(self, run: TrainingRun) -> float:
        rate = self.config.nes_learning_rate
        if self.hardening is None:
            return rate
        return self.hardening.rate(rate, run.iteration / run.iterations)

    def _search_batch(self, run: TrainingRun) -> Batch:
        return run.next_batch() if self.data is None else self.data.search_batch(run)

    def _weight_batch(self, run: TrainingRun) -> Batch:
        return run.next_batch() if self.data is None else self.data.weight_batch(run)

    def _lean_towards_prior(self, run: TrainingRun) -> None:
        lean_towards_prior(
            self.distribution, self.network, self.config, lambda: self._weight_batch(run)
        )
        if not self._all_shared:
            self.network.assignment.copy_(self.distribution.mode())
