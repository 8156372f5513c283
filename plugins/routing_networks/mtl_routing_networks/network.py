"""Networks that know, after a pass, how often each task's network was right."""

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mtl_framework import Features, TaskNetworks


class RewardingNetworks(TaskNetworks):
    """These are task networks whose training passes also count right answers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._outputs: Tensor | None = None
        self._wrong: dict[int, Tensor] = {}

    def scores(self, task: int, features: Features) -> Float[Tensor, "rows *outputs"]:
        """Return outputs as :class:`TaskNetworks` does."""
        outputs = super().scores(task, features)
        self._outputs = outputs.detach() if self.training else None
        return outputs

    def row_losses(
        self, task: int, features: Features, targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return losses as :class:`TaskNetworks` does."""
        losses = super().row_losses(task, features, targets)
        objective = self.tasks[task].objective
        if self._outputs is not None and is_error_rate(objective.metric):
            with torch.no_grad():
                self._wrong[task] = objective.scores(self._outputs, targets).mean()
        self._outputs = None
        return losses

    def take_rewards(self, losses: Float[Tensor, " tasks"]) -> Float[Tensor, " tasks"]:
        """Return the rewards of the last pass, which was under one assignment, and forget them.

        The reward of a task is the mean over its rows of +1 where the answer was right and -1 where
        it was wrong; minus its loss where its metric is no error rate.

        Args:
            losses: losses of this process that the pass returned.
        """
        rewards = -losses.detach()
        for task, percent in self._wrong.items():
            rewards[task] = 1 - percent / 50  # 0 % wrong is +1, 100 % is -1
        self._wrong = {}
        return rewards


def is_error_rate(metric: str) -> bool:
    """Say whether a metric is a share of wrong answers, in percent."""
    return metric.endswith("error %")
