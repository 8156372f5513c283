"""Columns can begin as one network, and part later.

What tasks learn together at first, each goes on with alone and mixed with the others (own; the
option is that of strategies with an assignment, see ``mtl_framework.SharedStart``).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mtl_framework import RecipeOptimizer, TrainingRun, copy_weight, forget_moments

from .network import ColumnNetworks


class OneColumn:
    """At first all columns have the weights of the first one; when they part, no output changes.

    Every column is run, as later. Then the first one gets the sum of all columns' gradients, which
    is the gradient of weights that stand in all of them; it alone is moved, and the others become
    copies of it. What mixes columns stays as it is. Where rows of mixing weights sum to one, and
    nothing follows the mixture, this is full sharing.

    Args:
        share: share of the run's iterations in which columns are one, above 0 and below 1.
        network: the columns, which are made equal.
        optimizer: the optimiser of the columns and of what mixes them.
        new_moments: whether columns lose the optimiser's moments when they part; else all have
            those of the first one.

    Attributes:
        over: whether the columns have parted; once they have, they stay so in a longer run.
    """

    def __init__(
        self, share: float, network: ColumnNetworks, optimizer: RecipeOptimizer, new_moments: bool
    ) -> None:
        self.share, self.over, self._new_moments = share, False, new_moments
        self._network, self._optimizer = network, optimizer
        self._mixing: list[Tensor] = []  # what mixes columns, while the weights are moved
        optimizer.register_step_post_hook(self._moved)
        self._copy()

    def is_on(self, run: TrainingRun) -> bool:
        """Say, before a batch's gradients, whether columns are one; part them when it is time.

        Args:
            run: the run, whose iterations are counted.
        """
        begun = run.iteration % self._optimizer.training.accumulate  # gradients are of one phase
        if not self.over and run.iteration - begun >= self.share * run.iterations:
            self._part()
        return not self.over

    @torch.no_grad()
    def gather(self) -> None:
        """Let the next step move the first column alone, along the sum of all gradients."""
        if not self._optimizer.moves_next:
            return
        for unit, columns in enumerate(self._network.weights_per_unit):
            every = [self._network.bank_parameters(unit, column) for column in range(columns)]
            for same in zip(*every, strict=True):
                for parameter in same[1:]:
                    if parameter.grad is not None:
                        first = same[0].grad
                        same[0].grad = parameter.grad if first is None else first + parameter.grad
                        parameter.grad = None
        mixing = list(self._network.mixers.parameters())
        for parameter in mixing:
            parameter.grad = None
        self._mixing = [parameter.detach().clone() for parameter in mixing]

    @torch.no_grad()
    def _moved(self, *_: Any) -> None:
        """Undo what a step does without gradients (``training.unused_weights: move``)."""
        if not self.over:
            for parameter, value in zip(
                self._network.mixers.parameters(), self._mixing, strict=True
            ):
                parameter.copy_(value)
            self._copy()

    @torch.no_grad()
    def _copy(self) -> None:
        for unit, columns in enumerate(self._network.weights_per_unit):
            first = self._network.bank_parameters(unit, 0)
            for column in range(1, columns):
                own = self._network.bank_parameters(unit, column)
                for parameter, value in zip(own, first, strict=True):
                    parameter.copy_(value)

    def _part(self) -> None:
        for unit, columns in enumerate(self._network.weights_per_unit):
            for column in range(1, columns):
                copy_weight(self._network, self._optimizer, unit, 0, column)
            if self._new_moments:
                forget_moments(self._network, self._optimizer, unit)
        self.over = True

    def state_dict(self) -> dict[str, Any]:
        """Return whether the columns have parted."""
        return {"over": self.over}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.over = bool(state["over"])
