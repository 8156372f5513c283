"""In routing networks a router per task chooses a block at every depth.

Rosenbaum, Klinger and Riemer, "Routing Networks: Adaptive Selection of Non-Linear Functions for
Multi-Task Learning", ICLR 2018, arXiv 1711.01239.
"""

from collections.abc import Generator, Mapping
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from mtl_framework import (
    Backbone,
    RecipeOptimizer,
    Step,
    Strategy,
    StrategyConfig,
    TaskNetworks,
    TrainingRun,
)
from mtl_framework.data import Batch, Suite

from .agents import Agents
from .collaboration import RecentDecisions, returns
from .collapse import blocks_in_use, largest_groups
from .config import RoutingConfig
from .gumbel import GumbelNetworks, gumbel_noise
from .network import RewardingNetworks

_MOST_CHOICES = 512  # of routes that are written down while training


class RoutingNetworks(Strategy):
    """Every task's agent draws a path over blocks; blocks learn from the loss, agents from rewards.

    ``network.assignment`` is always the most probable path of every task. The preset ``paper`` has
    the values of the published code, as the paper's own were not at hand.
    """

    Config: ClassVar[type[StrategyConfig]] = RoutingConfig
    config: RoutingConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "routing_networks",
                "router": "wpl",
                "advantage": "return",
                "standardize": False,
                "collaboration": 0.3,
                "history": 256,
                "optimizer": "sgd",
                "learning_rate": 3e-3,
                "router_learning_rate": 9e-4,
                "settle": 0.0,
            },
            "batch_size": 10,
        }
    }

    network: TaskNetworks
    settled: bool

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Make K blocks of every unit, and an agent for every task.

        Raises:
            MtlError: if ``p_min`` does not leave room for all blocks.
        """
        config, units = self.config, len(backbone.units)
        blocks = config.weights_per_unit or len(suite)
        self.agents = Agents(
            units,
            len(suite),
            blocks,
            learner="reinforce" if config.router == "reinforce" else "wpl",
            p_min=config.p_min,
            advantage=config.advantage,
            baseline=config.baseline,
            value_rate=config.value_rate,
            standardize=config.standardize,
        )
        self.recent = RecentDecisions(units, blocks, config.history)
        network: TaskNetworks
        logits: list[nn.Parameter] = []
        if config.router == "gumbel":
            network = GumbelNetworks(backbone, suite.tasks, blocks)
            logits = [routes.logits for routes in network.unit_routes()]
        else:
            network = RewardingNetworks(backbone, suite.tasks, blocks)
        self.network = network
        network.initialize(config.initialization_of(backbone))
        self.optimizer = self._optimizer(network, logits)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.register_state("settled", False)
        self.used = torch.zeros(units, blocks, dtype=torch.bool)  # since the weights have moved
        if self.recipe.training.accumulate > 1:  # otherwise they move in every step
            self.register_state("used", self.used)
        self.shared_start = config.make_shared_start()
        return network

    def _optimizer(self, network: TaskNetworks, logits: list[nn.Parameter]) -> RecipeOptimizer:
        """Make the optimiser, in which logits have a group of their own."""
        config = self.config
        # timm's "momentum" is SGD without Nesterov's momentum
        name = "momentum" if config.optimizer == "sgd" else "adam"
        choices: dict[str, Any] = {"momentum": 0.0} if config.optimizer == "sgd" else {}
        if logits:
            own = set(logits)
            scale = config.router_learning_rate / config.learning_rate
            choices["groups"] = [
                {"params": [p for p in network.parameters() if p not in own]},
                {"params": logits, "lr_scale": scale, "weight_decay": 0.0},
            ]
        return self.make_optimizer(network, name, config.learning_rate, **choices)

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Draw paths, train the blocks on them, then let the agents learn from what they earned."""
        while True:
            if self._shares(run):
                losses, rewards = self.step(run.next_batch(), learns=False)
                yield Step(losses, {"reward": rewards.mean(), **self.measures()})
                continue
            done = run.iteration / run.iterations
            if self.config.settle and done >= 1 - self.config.settle and not self.settled:
                self.settled = True  # for good, also in a longer run
                self.agents.policy.harden()
            learns = done >= self.config.delay and not self.settled
            batch = run.next_batch()
            if isinstance(self.network, GumbelNetworks):
                if run.iteration == 0:
                    self._hint(run)
                losses, rewards = self.gumbel_step(batch, self._temperature(done), learns)
            else:
                losses, rewards = self.step(batch, learns)
            yield Step(losses, {"reward": rewards.mean(), **self.measures()})

    def _temperature(self, done: float) -> float:
        """Return the temperature of soft choices, which falls linearly until the routes settle."""
        first, last = self.config.temperature, self.config.last_temperature
        return first + (last - first) * min(1.0, done / (1 - self.config.settle))

    def step(
        self, batch: Batch, learns: bool = True
    ) -> tuple[Float[Tensor, "samples tasks"], Float64[Tensor, "samples tasks"]]:
        """Do one step of the blocks and, if told so, of the agents; return losses and rewards.

        Args:
            batch: examples of every task.
            learns: whether the agents learn from it.
        """
        network, config = self.network, self.config
        assert isinstance(network, RewardingNetworks)
        network.train()
        assignments = self._draw()
        paths = len(assignments)
        self.optimizer.zero_grad()
        losses, rewards = [], []
        each = 1 / (paths * len(network.tasks))  # of the mean over paths and tasks
        share = torch.full((1, len(network.tasks)), each, dtype=torch.float64)
        for path in assignments:
            own = network.accumulate_gradients(batch, path[None], share)
            earned = network.take_rewards(own[0])
            losses.append(own[0])
            rewards.append(-own[0] if config.reward == "loss" else earned)
        self.optimizer.step()
        # every process draws the same paths, and its agents must learn the same; the last row is
        # 1 where a task has a label in any process's batch, in one transfer with the rewards
        present = batch.label_weights().to(rewards[0], non_blocking=True)
        both = network.averaged_losses(batch, torch.stack([*rewards, present])).cpu().double()
        earned, judged = both[:-1], both[-1] > 0
        if learns:
            self._learn(assignments, earned, judged & earned.isfinite().all(0))
        network.assignment.copy_(self.agents.policy.mode())
        return torch.stack(losses), earned

    def _draw(self) -> Int64[Tensor, "samples units tasks"]:
        """Draw a step's paths: all blocks are the first ones while tasks share everything."""
        if self._all_shared:
            return torch.zeros_like(self.agents.policy.mode())[None]
        paths = 1 if self.settled else self.config.paths  # all are the most probable one then
        return self.agents.policy.sample(paths, self.generator)

    @property
    def _all_shared(self) -> bool:
        return self.shared_start is not None and not self.shared_start.over

    def _shares(self, run: TrainingRun) -> bool:
        start, mode = self.shared_start, self.agents.policy.mode()
        return start is not None and start.is_on(run, self.network, self.optimizer, mode)

    def gumbel_step(
        self, batch: Batch, temperature: float, learns: bool = True
    ) -> tuple[Float[Tensor, "samples tasks"], Float64[Tensor, "samples tasks"]]:
        """Do one step of blocks and logits; return losses, and minus the losses as rewards.

        Args:
            batch: examples of every task.
            temperature: of the soft choices.
            learns: whether the logits learn from it.
        """
        network, config = self.network, self.config
        assert isinstance(network, GumbelNetworks)
        network.train()
        self.optimizer.zero_grad()
        paths = 1 if self.settled else config.paths
        each = 1 / (paths * len(network.tasks))
        share = torch.full((1, len(network.tasks)), each, dtype=torch.float64)
        mixtures, losses = network.assignment.cpu()[None], []
        pi, judged = self.agents.policy.pi, network.labelled_anywhere(batch)
        for _ in range(paths):
            noise = gumbel_noise(pi.shape, self.generator)
            chosen = (pi.log() + noise).argmax(-1)
            with nullcontext() if self.settled else network.drawing(noise, temperature):
                losses.append(network.accumulate_gradients(batch, mixtures, share)[0])
            self.recent.add(chosen[:, judged])
            ran = self.agents.policy.mode() if self.settled else chosen
            self.used.scatter_(1, ran[:, judged], True)
        if learns:
            self._collaborate(network, judged)
        else:
            for routes in network.unit_routes():
                routes.logits.grad = None
        moves = self.optimizer.moves_next
        if moves:
            network.leave_out_unused(self.used)
        self.optimizer.step()
        if moves:
            self.used.zero_()
        self.agents.policy.load_state_dict({"pi": network.probabilities()})
        return torch.stack(losses), -torch.stack(losses).cpu().double()

    def _collaborate(self, network: GumbelNetworks, judged: Bool[Tensor, " tasks"]) -> None:
        """Let logits of tasks with labels earn, in expectation, what a path earns for company."""
        config, routes = self.config, network.unit_routes()
        if not config.collaboration:
            return
        by_decisions = config.collaboration_by == "decisions"
        shares = self.recent.shares() if by_decisions else self.agents.policy.pi.mean(1)
        for own, common in zip(routes, shares, strict=True):
            each = (own.logits.softmax(-1) * common.to(own.logits)).sum(-1)
            earned = (each * judged.to(each)).mean()
            (-config.collaboration / len(routes) * earned).backward()

    def _learn(
        self,
        assignments: Int64[Tensor, "samples units tasks"],
        rewards: Float64[Tensor, "samples tasks"],
        judged: Bool[Tensor, " tasks"],
    ) -> None:
        """Let the agents of tasks with a reward learn, and remember what they have decided."""
        config, policy = self.config, self.agents.policy
        if config.collaboration_by == "decisions":
            shares = self.recent.shares()
        else:
            shares = policy.pi.mean(1)
        brought = returns(rewards.nan_to_num(), assignments, shares, config.collaboration)
        self.agents.learn(assignments, brought, config.router_learning_rate, judged)
        self.recent.add(assignments[:, :, judged].transpose(0, 1).flatten(1))

    def measures(self) -> dict[str, Tensor | float]:
        """Return how decided the agents are, and how far their most probable paths collapsed."""
        assignment = self.agents.policy.mode()
        measures: dict[str, Tensor | float] = {
            "entropy": self.agents.policy.entropy(),
            "blocks": float(blocks_in_use(assignment).mean()),
            "largest": largest_groups(assignment),
        }
        if assignment.numel() <= _MOST_CHOICES:
            measures["assignment"] = assignment
        return measures

    def length_options(self) -> list[str]:
        """Name the shares of the run in which routers wait or have settled, and temperatures."""
        config = self.config
        used = {
            "delay": config.delay > 0,
            "settle": config.settle > 0,
            "shared_start": config.shared_start > 0,
            "temperature": config.router == "gumbel"
            and config.temperature != config.last_temperature,
        }
        return [f"strategy.{name}" for name, matters in used.items() if matters]

    def _hint(self, run: TrainingRun) -> None:
        if run.backbones and getattr(run.backbones[0], "normalization", "") == "shared":
            run.hint(
                "with router gumbel all tasks' rows pass all blocks, and move their running "
                "averages: set backbone.normalization=task if the model has batch norms"
            )
