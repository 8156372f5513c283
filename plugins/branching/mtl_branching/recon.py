"""Recon: units in which tasks' gradients conflict most become every task's own.

Shi, Li, Zhang, Chen and Wu, "Recon: Reducing Conflicting Gradients from the Root for Multi-Task
Learning", ICLR 2023, arXiv 2302.11289.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from pydantic import Field
from torch import Tensor, nn

from mtl_framework import Backbone, MtlError, StrategyConfig, TaskNetworks, task_gradients
from mtl_framework.data import Batch, Suite

from .measured import MeasuredConfig, MeasuredSharing, check_several, undisturbed


class ReconConfig(MeasuredConfig):
    """Options of :class:`Recon`."""

    every: int = Field(1, ge=1, description="number of iterations from one measurement to the next")
    parted: int | Literal["half"] = Field(
        "half",
        description="number of units that become every task's own: those with most conflicts; "
        "half: U // 2",
    )
    threshold: float = Field(
        0.0,
        gt=-1,
        lt=1,
        description="cosine of two tasks' gradients below which they conflict; the paper uses "
        "0, -0.02 and -0.1",
    )
    rank_by: Literal["conflicts", "excess"] = Field(
        "conflicts",
        description="what ranks the units: conflicts (the paper), or excess: conflicts beyond "
        "those of shuffled gradients, which small units have more of by chance",
    )


class Recon(MeasuredSharing):
    """Counts conflicts of the tasks' gradients in every unit, parts the units with most of them.

    A unit is parted by itself, whatever is above and below. The preset ``paper`` has the threshold
    of the paper's smaller data sets and measures while half of the run trains full sharing.
    """

    Config: ClassVar[type[StrategyConfig]] = ReconConfig
    config: ReconConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "recon",
                "measure": 0.5,
                "every": 1,
                "threshold": -0.1,
                "rank_by": "conflicts",
            },
        }
    }

    conflicts: Float64[Tensor, "units"]
    chance: Float64[Tensor, "units"]
    pairs: Float64[Tensor, "units"]

    def most_groups(self, backbone: Backbone, suite: Suite) -> int:
        """A weight for every task."""
        check_several(suite, "recon")
        units, parted = len(backbone.units), self.config.parted
        self._parted = units // 2 if parted == "half" else parted
        if not 0 <= self._parted <= units:
            raise MtlError(
                f"strategy.parted should be 'half' or a number from 0 to the {units} units, found "
                f"{parted}"
            )
        return len(suite)

    def start_measuring(self) -> None:
        """Numbers of conflicts of every unit, of shuffled gradients' ones, and of pairs seen."""
        units = len(self.network.weights_per_unit)
        for name in ("conflicts", "chance", "pairs"):
            self.register_state(name, torch.zeros(units, dtype=torch.float64))
        self.generator = torch.Generator().manual_seed(self.seed)

    def measure(self, batch: Batch) -> None:
        """Count the pairs of tasks whose gradients conflict, unit by unit."""
        network = self.network
        gradients = _measured_gradients(network, batch)
        for unit in range(len(network.weights_per_unit)):
            rows = flat_gradients(gradients, network.bank_parameters(unit, 0))
            shuffled = shuffle(rows, self.generator)
            self.conflicts[unit] += conflicts(rows, self.config.threshold)
            self.chance[unit] += conflicts(shuffled, self.config.threshold)
            self.pairs[unit] += len(rows) * (len(rows) - 1) / 2

    def decide(self) -> Int64[Tensor, "units tasks"]:
        """Give every task its own weight in the units with most conflicts; early ones win ties."""
        measured = self.conflicts / self.pairs.clamp(min=1)
        if self.config.rank_by == "excess":
            measured = measured - self.chance / self.pairs.clamp(min=1)
        order = measured.argsort(descending=True, stable=True)
        groups = torch.zeros(len(measured), len(self.network.tasks), dtype=torch.int64)
        groups[order[: self._parted]] = torch.arange(len(self.network.tasks))
        return groups

    def told(self) -> str:
        """The units that were parted."""
        own = (self.network.assignment.amax(1) > 0).tolist()
        names = [
            u.name for u, is_own in zip(self.network.backbone.units, own, strict=True) if is_own
        ]
        return (
            f"units with most conflicts, which are every task's own: {', '.join(names) or 'none'}; "
            "trained from scratch from here on"
        )


def _measured_gradients(network: TaskNetworks, batch: Batch) -> list[dict[nn.Parameter, Tensor]]:
    """Gradients of every task that has labels; nothing else changes."""
    network.train()
    with undisturbed(network):
        gradients, _ = task_gradients(network, batch, network.assignment.cpu()[None])
    return [own for own in gradients if own]


def flat_gradients(
    gradients: Sequence[Mapping[nn.Parameter, Tensor]], parameters: Sequence[nn.Parameter]
) -> Float64[Tensor, "tasks entries"]:
    """Gradients of some parameters, one behind the other, a row a task."""
    rows = [
        torch.cat([
            (own[p] if p in own else torch.zeros_like(p)).detach().flatten() for p in parameters
        ])
        for own in gradients
    ]  # fmt: skip
    entries = sum(p.numel() for p in parameters)
    return torch.stack(rows).double().cpu() if rows else torch.zeros(0, entries).double()


def conflicts(rows: Float64[Tensor, "tasks entries"], threshold: float) -> int:
    """Number of pairs of rows whose cosine is below a threshold."""
    directions = F.normalize(rows, dim=1)
    cosines = directions @ directions.T
    return int((cosines < threshold).triu(1).sum())


def shuffle(
    rows: Float64[Tensor, "tasks entries"], generator: torch.Generator
) -> Float64[Tensor, "tasks entries"]:
    """Every row with its entries in an order of its own: cosines that come about by chance."""
    if not len(rows):
        return rows
    orders = [torch.randperm(rows.shape[1], generator=generator) for _ in range(len(rows))]
    return torch.stack([row[order] for row, order in zip(rows, orders, strict=True)])
