"""Three parameters as a network, with an optimiser as a recipe makes it."""

from typing import Any

import torch
from torch import Tensor, nn

from mtl_framework import TrainingConfig
from mtl_framework.networks.model import MultiTaskModel
from mtl_framework.strategies.recipe import Recipe
from mtl_framework.strategies.recipe_optimizer import RecipeOptimizer


class Bank(MultiTaskModel):
    """Three parameters: a matrix, its bias, and one that no task uses."""

    def __init__(self) -> None:
        super().__init__(())
        self.weight = nn.Parameter(torch.full((2, 2), 2.0))
        self.bias = nn.Parameter(torch.full((2,), 2.0))
        self.unused = nn.Parameter(torch.full((2, 2), 2.0))

    def predict(self, task: int, inputs: Tensor) -> Tensor:
        return inputs @ self.weight + self.bias

    def extract(self, task: int) -> nn.Module:
        raise NotImplementedError

    def sharing(self) -> None:
        return None

    def parameter_counts(self) -> Any:
        raise NotImplementedError

    def gradients(self, size: float = 1.0) -> None:
        for parameter in (self.weight, self.bias):
            new = torch.full_like(parameter, size)
            parameter.grad = new if parameter.grad is None else parameter.grad + new


def made(iterations: int = 10, **training: Any) -> tuple[Bank, RecipeOptimizer]:
    network = Bank()
    recipe = Recipe(TrainingConfig.model_validate(training), iterations)
    return network, recipe.make_optimizer(network, "sgd", 0.5, momentum=0.0, nesterov=False)


def steps(network: Bank, optimizer: RecipeOptimizer, *sizes: float) -> None:
    for size in sizes:
        optimizer.zero_grad()
        network.gradients(size)
        optimizer.step()


def values(network: Bank) -> list[float]:
    return [float(p.detach().flatten()[0]) for p in (network.weight, network.bias, network.unused)]
