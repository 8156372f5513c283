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

from .running_scale import RunningScale

Table = Float64[Tensor, "units tasks weights"]
Advantages = Float64[Tensor, "units tasks weights"] | Float64[Tensor, "units tasks 1"]
Learner = Literal["wpl", "reinforce"]
Advantage = Literal["value", "return"]


class Agents:
    """Agents hold, for every task and unit, the blocks' probabilities and their values.

    The value of a block is a running mean of the returns that choosing it has brought, as the agent
    sees them.

    Args:
        units: U, the number of units.
        tasks: T, the number of tasks.
        weights: K, the number of blocks of every unit.
        learner: see :func:`weighted_policy_step` and :func:`reinforce_step`.
        p_min: smallest probability of a block.
        advantage: what moves the weighted policy learner: of every block its ``"value"`` less the
            mean value, or of the chosen block the ``"return"`` less the expected one. REINFORCE
            always takes the return.
        baseline: whether a return is compared with the mean value under the ``"policy"``, or with
            the value of the block (the ``"action"``).
        value_rate: weight of a new return in a value, where that has as many returns already.
        standardize: whether agents see standardised returns, see :class:`RunningScale`.

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
        advantage: Advantage = "value",
        baseline: Literal["policy", "action"] = "policy",
        value_rate: float = 0.05,
        standardize: bool = True,
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
        self._by_values = learner == "wpl" and advantage == "value"
        self._scale = RunningScale(units, tasks, value_rate) if standardize else None
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
            seen = own if self._scale is None else self._scale.standardized(own, judged)
            taken = F.one_hot(chosen, self.policy.pi.shape[-1]).double() * judged[:, None]
            if self._by_values:
                self._remember(taken, seen)
                tried = (self.counts > 0).double()
                better = self.values - self.mean_values()[..., None]
                moved = self._step(self.policy.pi, tried, better, rate)
            else:
                better = ((seen - self.expected(chosen)) * judged)[..., None]
                moved = self._step(self.policy.pi, taken, better, rate)
                self._remember(taken, seen)
            pi = torch.where(judged[:, None], project(moved, self._p_min), self.policy.pi)
            self.policy.load_state_dict({"pi": pi})

    def _remember(self, taken: Table, returns: Float64[Tensor, "units tasks"]) -> None:
        """Move the values of the blocks that were chosen towards what they have brought."""
        self.counts = self.counts + taken
        weight = taken * (1 / self.counts.clamp(min=1)).clamp(min=self._value_rate)
        self.values = self.values + weight * (returns[..., None] - self.values)

    def expected(self, chosen: Int64[Tensor, "units tasks"]) -> Float64[Tensor, "units tasks"]:
        """Return what choices are expected to bring.

        A first choice, with which nothing can be compared, is expected to bring 0.
        """
        if self._baseline == "action":
            return self.values.gather(2, chosen[..., None]).squeeze(2)
        return self.mean_values()

    def mean_values(self) -> Float64[Tensor, "units tasks"]:
        """Return the mean value of a unit's blocks by their probabilities.

        Blocks that were never chosen have no value and do not count.
        """
        known = self.policy.pi * (self.counts > 0)
        return (known * self.values).sum(-1) / known.sum(-1).clamp(min=1e-12)

    def state_dict(self) -> dict[str, Any]:
        """Return probabilities, values, counts, and the scale of returns."""
        return {
            "pi": self.policy.pi.clone(),
            "values": self.values.clone(),
            "counts": self.counts.clone(),
            "scale": None if self._scale is None else self._scale.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            MtlError: if it is that of other units, tasks or blocks, or of agents that saw returns
                as they are, where these see standardised ones.
        """
        if self._scale is not None and state.get("scale") is None:
            raise MtlError(
                "saved agents saw returns as they are, not standardised: they are those of an "
                "earlier version, and cannot go on in this one"
            )
        self.policy.load_state_dict({"pi": state["pi"]})
        for name in ("values", "counts"):
            if state[name].shape != self.policy.pi.shape:
                raise MtlError(
                    f"saved {name} of blocks have shape {tuple(state[name].shape)}, these have "
                    f"{tuple(self.policy.pi.shape)} (units, tasks, weights)"
                )
            setattr(self, name, state[name].to("cpu", torch.float64).clone())
        if self._scale is not None:
            self._scale.load_state_dict(state["scale"])


def weighted_policy_step(pi: Table, moved: Table, advantage: Advantages, rate: float) -> Table:
    """Move probabilities as the weighted policy learner does (Abdallah and Lesser, 2006).

    A block that is better than expected gains rate * advantage * (1 - pi), a worse one loses
    rate * |advantage| * pi: the step shrinks as a probability comes close to where it is going.
    Where advantages are mostly noise, a probability below one half therefore rises on average, and
    one above it falls. What returns is no distribution yet, see :func:`project`.

    Args:
        pi: the probabilities.
        moved: 1 for the blocks whose probabilities move, else 0.
        advantage: how much better than expected each block is, or the chosen one was.
        rate: the learning rate.
    """
    room = torch.where(advantage < 0, pi, 1 - pi)
    return pi + rate * advantage * moved * room


def reinforce_step(pi: Table, taken: Table, advantage: Advantages, rate: float) -> Table:
    """Move logits, of which the probabilities are a softmax, along advantage * d log pi(a).

    The derivative of log pi(a) by the logits is onehot(a) - pi (REINFORCE, Williams, 1992).

    Args:
        pi: the probabilities.
        taken: 1 for the blocks that were chosen, else 0.
        advantage: return minus expected return of every choice.
        rate: the learning rate.
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
