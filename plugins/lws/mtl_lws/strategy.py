"""Learned weight sharing: natural evolution strategy for the sharing, Adam for the weights.

Prellberg and Kramer, "Learned Weight Sharing for Deep Multi-Task Learning by Natural Evolution
Strategy and Stochastic Gradient Descent", IJCNN 2020, arXiv 2003.10159. Where paper and published
code differ, an option names both sides and the paper's is the default.
"""

from collections.abc import Generator, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mtl_framework import (
    Backbone,
    MtlError,
    Step,
    Strategy,
    StrategyConfig,
    TaskNetworks,
    TrainingRun,
)
from mtl_framework.data import Batch, Suite

from .config import LwsConfig, check_room
from .distribution import SearchDistribution

_MOST_CHOICES = 512  # of assignments that are written down while training


class LearnedWeightSharing(Strategy):
    """Algorithm 1: every iteration moves the search distribution, then the weights.

    Each task picks one of K weights at every unit. f(weights, assignment) is the mean over tasks of
    each task's mean loss, as in the paper, whatever the tasks' batch sizes. Weights that no sample
    of a step uses stay as they are (``unused_weights``). ``network.assignment`` is always the most
    probable assignment.
    """

    Config: ClassVar[type[StrategyConfig]] = LwsConfig
    config: LwsConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "lws",
                "nes_samples": 8,
                "weight_samples": 8,
                "learning_rate": 1e-3,
                "epsilon": 1e-8,
                "nes_learning_rate": 1e-2,
                "p_min": 1e-3,
                "initialization": "library",
                "gradient_scaling": "paper",
                "credit": "joint",
            },
            "backbone": {"small_images": True, "normalization": "shared"},
            "batch_size": 16,
            "eval_every": 200,
        }
    }

    network: TaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Banks of K weights for every unit, and the search distribution over them."""
        config = self.config
        weights = config.weights_per_unit or len(suite)
        try:
            check_room(weights, config.p_min)
        except ValueError as error:
            raise MtlError(f"strategy {error}") from None
        self.distribution = self._initial_distribution(len(backbone.units), len(suite), weights)
        self.network = TaskNetworks(backbone, suite.tasks, weights)
        self.network.initialize(config.initialization_of(backbone))
        self.network.assignment.copy_(self.distribution.mode())
        parameters = self.network.parameters()
        self.optimizer = torch.optim.Adam(
            parameters, config.learning_rate, eps=config.epsilon, fused=True
        )
        self.generator = torch.Generator().manual_seed(self.seed)
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Algorithm 1, with a batch of its own for each of the two steps."""
        while True:
            nes_losses = self.search_step(run.next_batch())
            losses = self.weight_step(run.next_batch())
            entropy = self.distribution.entropy()
            metrics: dict[str, Tensor | float] = {"entropy": entropy, "nes_loss": nes_losses.mean()}
            if self.network.assignment.numel() <= _MOST_CHOICES:
                metrics["assignment"] = self.network.assignment
            yield Step(losses, metrics)

    def search_step(self, batch: Batch) -> Float[Tensor, "samples tasks"]:
        """Move pi along the natural gradient; networks are evaluated, not trained."""
        config, network = self.config, self.network
        network.eval()
        assignments = self.distribution.sample(config.nes_samples, self.generator)
        with torch.no_grad():
            # every process draws the same assignments and must rank them alike
            losses = network.averaged_losses(batch, network.losses(batch, assignments))
        self.distribution.step(
            assignments,
            (losses.mean(1) if config.credit == "joint" else losses).cpu(),
            config.nes_learning_rate,
            config.p_min,
            config.ties,
        )
        network.assignment.copy_(self.distribution.mode())
        return losses

    def weight_step(self, batch: Batch) -> Float[Tensor, "samples tasks"]:
        """Move the weights along the mean gradient (equation 13) over sampled assignments."""
        config, network = self.config, self.network
        network.train()
        assignments = self.distribution.sample(config.weight_samples, self.generator)
        self.optimizer.zero_grad()
        losses = network.accumulate_gradients(batch, assignments)
        if config.gradient_scaling == "usage":
            network.scale_gradients_by_usage(self.distribution.pi.sum(1))
        if config.unused_weights == "momentum":
            self._zero_missing_gradients()
        self.optimizer.step()
        return losses

    def _zero_missing_gradients(self) -> None:
        """Let Adam move every weight that it has moved before."""
        for parameter in self.network.parameters():
            if parameter.grad is None and parameter in self.optimizer.state:
                parameter.grad = torch.zeros_like(parameter)

    def _initial_distribution(self, units: int, tasks: int, weights: int) -> SearchDistribution:
        given = self.config.initial_distribution
        if given == "uniform":
            return SearchDistribution.uniform([weights] * units, tasks)
        try:
            pi = torch.tensor(given, dtype=torch.float64)
        except ValueError:
            raise MtlError("initial_distribution: its rows differ in length") from None
        if pi.shape not in ((tasks, weights), (units, tasks, weights)):
            raise MtlError(
                f"initial_distribution should be {tasks} tasks x {weights} weights, or {units} "
                f"units x {tasks} x {weights}, found {' x '.join(map(str, pi.shape))}"
            )
        try:
            return SearchDistribution(pi.expand(units, tasks, weights))
        except MtlError as error:
            raise MtlError(f"initial_distribution: {error}") from None
