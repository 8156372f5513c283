"""Agents earn something for choosing the blocks that others choose, so that tasks share."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor

from mtl_framework import MtlError


class RecentDecisions:
    """These are the last decisions of all agents at every unit.

    Args:
        units: U, the number of units.
        weights: K, the number of blocks of every unit.
        length: number of decisions at a unit that are remembered.
    """

    def __init__(self, units: int, weights: int, length: int) -> None:
        self._weights = weights
        self._blocks = torch.full((units, length), weights)  # K stands for no decision yet

    def add(self, decisions: Int64[Tensor, "units decisions"]) -> None:
        """Remember decisions, and forget as many of the oldest ones."""
        length = self._blocks.shape[1]
        self._blocks = torch.cat([self._blocks, decisions], 1)[:, -length:]

    def shares(self) -> Float64[Tensor, "units weights"]:
        """Return every block's share of the decisions; 0 for all before the first one."""
        counts = F.one_hot(self._blocks, self._weights + 1)[..., :-1].sum(1).double()
        return counts / counts.sum(-1, keepdim=True).clamp(min=1)

    def state_dict(self) -> dict[str, Any]:
        """Return the decisions."""
        return {"blocks": self._blocks.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            MtlError: if it is that of other units or another length.
        """
        if state["blocks"].shape != self._blocks.shape:
            raise MtlError(
                f"saved decisions have shape {tuple(state['blocks'].shape)}, these have "
                f"{tuple(self._blocks.shape)} (units, decisions)"
            )
        self._blocks = state["blocks"].clone()


def returns(
    rewards: Float64[Tensor, "samples tasks"],
    assignments: Int64[Tensor, "samples units tasks"],
    shares: Float64[Tensor, "units weights"],
    collaboration: float,
) -> Float64[Tensor, "samples units tasks"]:
    """Compute what every decision brings: the path's reward, and what it earns from there on.

    G(u) = r + (rho / U) * sum over v >= u of c(v), where c(v) is how much others choose the block
    of unit v. With rho / U in place of rho a whole path earns at most rho, however many units a
    backbone has. With two units, rho = 0.2 and c = (0.5, 1), a path with reward 1 has the
    returns 1.15 and 1.1.

    Args:
        rewards: rewards of paths.
        assignments: the blocks of the paths.
        shares: how much others choose each block.
        collaboration: rho.
    """
    units = assignments.shape[1]
    by_unit = shares[:, None].expand(-1, assignments.shape[2], -1)  # (units, tasks, weights)
    others = torch.stack([by_unit.gather(2, one[..., None]).squeeze(2) for one in assignments])
    to_come = others.flip(1).cumsum(1).flip(1)
    return rewards[:, None] + collaboration / units * to_come
