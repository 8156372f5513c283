"""Experts: whole backbones, of whose features every task has a mixture of its own."""

import copy
from collections.abc import Generator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mtl_framework import (
    Backbone,
    MultiTaskModel,
    ParameterCounts,
    Step,
    Strategy,
    StrategyConfig,
    TrainingRun,
    hookimpl,
)
from mtl_framework.data import Suite


class ExpertsConfig(StrategyConfig):
    """Options of :class:`Experts`."""

    experts: int = Field(2, ge=1, description="number of backbones that all tasks mix")
    features: int = Field(32, ge=1, description="number of features that every backbone gives")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate")


class Mixture(nn.Module):
    """A mixture is one task's network: all experts, the task's shares of them, and its head."""

    def __init__(self, experts: nn.ModuleList, shares: Tensor, head: nn.Module) -> None:
        super().__init__()
        self.experts, self.head = experts, head
        self.shares = nn.Parameter(shares)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (rows, outputs)."""
        features = torch.stack([expert(inputs) for expert in self.experts], -1)
        outputs: Tensor = self.head(features @ self.shares.softmax(0))
        return outputs


class ExpertNetworks(MultiTaskModel):
    """These networks have what the host needs: predict, extract, sharing, parameter_counts."""

    def __init__(self, backbone: Backbone, suite: Suite, experts: int, features: int) -> None:
        super().__init__(suite.tasks)
        shared = nn.ModuleList(backbone.create(features) for _ in range(experts))
        self.networks = nn.ModuleList(
            Mixture(shared, torch.zeros(experts), nn.Linear(features, task.objective.num_outputs))
            for task in suite.tasks
        )

    def predict(self, task: int, inputs: Tensor) -> Tensor:
        """Return the outputs of a task, in the networks' present mode and precision."""
        with self.autocast(inputs.device):
            outputs: Tensor = self.networks[task](inputs)
        return outputs if outputs.dtype == torch.float64 else outputs.float()

    def extract(self, task: int) -> nn.Module:
        """Return a task's network alone, which contains all experts."""
        return copy.deepcopy(self.networks[task]).cpu().eval()

    def sharing(self) -> None:
        """Return None, because no unit is shared as a whole and there is no grid to show."""
        return None

    def parameter_counts(self) -> ParameterCounts:
        """Count parameters, those that tasks share once."""
        count = sum(parameter.numel() for parameter in self.parameters())
        return ParameterCounts(trained=count, deployed=count)


class Experts(Strategy):
    """Every task mixes the features of all experts; how much of each is learned."""

    Config = ExpertsConfig
    config: ExpertsConfig
    network: ExpertNetworks

    def build(self, backbone: Backbone, suite: Suite) -> ExpertNetworks:
        """Make the networks, and an optimiser for them."""
        config = self.config
        self.network = ExpertNetworks(backbone, suite, config.experts, config.features)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Train on the mean loss of every task's labelled examples."""
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            batch = run.next_batch()
            losses = []
            for number, task in enumerate(self.network.tasks):
                outputs = self.network.predict(number, batch.inputs[number])
                rows = task.objective.losses(outputs, batch.targets[number])
                if (mask := batch.select(number).mask) is not None:
                    rows = rows * mask  # without a label: no loss, no gradient
                    losses.append(rows.sum() / mask.sum().clamp(min=1))
                else:
                    losses.append(rows.mean())
            total = torch.stack(losses)
            total.mean().backward()
            self.optimizer.step()
            yield Step(total.detach())


@hookimpl
def mtl_strategies() -> dict[str, Any]:
    """Contribute the strategy of this plugin by name."""
    return {"experts": Experts}
