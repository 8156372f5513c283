"""Agents choose a block at every unit by tables of probabilities, and learn from returns.

There is one agent a task, and its tables do not see the input: that organisation was the best in
the paper, and it is why the most probable path of a task can be taken out.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from mtl_framework import MtlError, SearchDistribution

Table = Float64[Tensor, "units tasks weights"]
Learner = Literal["wpl", "reinforce"]


class Agents:
    """Agents hold, for every task and unit, the blocks' probabilities and their values.

    The value of a block is a running mean of the returns that choosing it has brought.

    Args:
        units: U, the number of units.
        tasks: T, the number of tasks.
        weights: K, the number of blocks of every unit.
        learner: see :func:`weighted_policy_step` and :func:`reinforce_step`.
        p_min: smallest probability of a block.
        baseline: whether a return is compared with the mean value under the ``"policy"``, or with
            the value of the block (the ``"action"``).
        value_rate: weight of a new return in a value, where that has as many returns already.

    Attributes:
        policy: the probabilities, all alike at the start.
        values: mean returns (units, tasks, weights).
        counts: numbers of returns that they are made of.

    Raises:
        MtlError: if ``p_min`` does not leave room for all blocks.
    """

    def __init__(
        self,
        units: int,
        tasks: int,
        weights: int,
        *,
        learner: Learner = "wpl",
        p_min: float = 0.0,
        baseline: Literal["policy", "action"] = "policy",
        value_rate: float = 0.05,
    ) -> None:
        if weights * p_min >= 1 and weights > 1:
            raise MtlError(
                "strategy.p_min should be below 1 / weights_per_unit = "
                f"{1 / weights:.4g}, found {p_min:g}"
            )
        self.policy = SearchDistribution.uniform([weights] * units, tasks)
        self.values = torch.zeros_like(self.policy.pi)
        self.counts = torch.zeros_like(self.policy.pi)
        self._step = weighted_policy_step if learner == "wpl" else reinforce_step
        self._p_min, self._baseline, self._value_rate = p_min, baseline, value_rate

    def learn(
        self,
        assignments: Int64[Tensor, "samples units tasks"],
        returns: Float64[Tensor, "samples units tasks"],
        rate: float,
        judged: Bool[Tensor, " tasks"],
    ) -> None:
        """Move the probabilities by what choices have brought, one sample after the other.

        Args:
            assignments: the blocks that were chosen.
            returns: what each choice has brought.
            rate: learning rate of the probabilities.
            judged: True for tasks that had a reward; the others' agents learn nothing.
        """
        for chosen, own in zip(assignments, returns, strict=True):
            taken = F.one_hot(chosen, self.policy.pi.shape[-1]).double() * judged[:, None]
            advantage = (own - self.expected(chosen)) * judged
            moved = self._step(self.policy.pi, taken, advantage[..., None], rate)
            pi = torch.where(judged[:, None], project(moved, self._p_min), self.policy.pi)
            self.policy.load_state_dict({"pi": pi})
            self.counts = self.counts + taken
            weight = taken * (1 / self.counts.clamp(min=1)).clamp(min=self._value_rate)
            self.values = self.values + weight * (own[..., None] - self.values)

    def expected(self, chosen: Int64[Tensor, "units tasks"]) -> Float64[Tensor, "units tasks"]:
        """Return what choices are expected to bring.

        With baseline ``"policy"`` blocks that were never chosen have no value and do not count. A
        first choice, with which nothing can be compared, is expected to bring 0.
        """
        if self._baseline == "action":
            return self.values.gather(2, chosen[..., None]).squeeze(2)
        known = self.policy.pi * (self.counts > 0)
        return (known * self.values).sum(-1) / known.sum(-1).clamp(min=1e-12)

    def state_dict(self) -> dict[str, Any]:
        """Return probabilities, values and counts."""
        return {
            "pi": self.policy.pi.clone(),
            "values": self.values.clone(),
            "counts": self.counts.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            MtlError: if it is that of other units, tasks or blocks.
        """
        self.policy.load_state_dict({"pi": state["pi"]})
        for name in ("values", "counts"):
            if state[name].shape != self.policy.pi.shape:
                raise MtlError(
                    f"saved {name} of blocks have shape {tuple(state[name].shape)}, these have "
                    f"{tuple(self.policy.pi.shape)} (units, tasks, weights)"
                )
            setattr(self, name, state[name].to("cpu", torch.float64).clone())


def weighted_policy_step(
    pi: Table, taken: Table, advantage: Float64[Tensor, "units tasks 1"], rate: float
) -> Table:
    """Move the probability of every choice as the weighted policy learner does.

    A choice that was better than expected gains rate * advantage * (1 - pi), a worse one loses
    rate * |advantage| * pi: the step shrinks as a probability comes close to where it is going.
    What returns is no distribution yet, see :func:`project`.

    Args:
        pi: the probabilities.
        taken: 1 for the blocks that were chosen, else 0.
        advantage: return minus expected return of every choice.
        rate: the learning rate.
    """
    room = torch.where(advantage < 0, pi, 1 - pi)
    return pi + rate * advantage * taken * room


def reinforce_step(
    pi: Table, taken: Table, advantage: Float64[Tensor, "units tasks 1"], rate: float
) -> Table:
    """Move logits, of which the probabilities are a softmax, along advantage * d log pi(a).

    The derivative of log pi(a) by the logits is onehot(a) - pi (REINFORCE, Williams, 1992). The
    arguments are those of :func:`weighted_policy_step`.
    """
    chosen = taken.sum(-1, keepdim=True)  # 0 where nothing was chosen
    return (pi.log() + rate * advantage * (taken - pi * chosen)).softmax(-1)


def project(pi: Float64[Tensor, "*rows weights"], p_min: float) -> Float64[Tensor, "*rows weights"]:
    """Return the nearest distributions whose entries are at least ``p_min``.

    Projecting (0.9, 0.4) on two blocks' simplex takes 0.15 from each: (0.75, 0.25). Entries that
    would fall below the floor stay there, and the others share what is left.
    """
    weights = pi.shape[-1]
    total = 1 - weights * p_min
    ordered = (pi - p_min).sort(-1, descending=True).values
    excess = (ordered.cumsum(-1) - total) / torch.arange(1, weights + 1, dtype=pi.dtype)
    last = (ordered > excess).sum(-1, keepdim=True) - 1  # of those that stay above the floor
    projected: Tensor = (pi - p_min - excess.gather(-1, last)).clamp(min=0) + p_min
    return projected / projected.sum(-1, keepdim=True)
