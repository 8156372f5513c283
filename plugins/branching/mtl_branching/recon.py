"""Recon gives every task a copy of its own of the units in which gradients conflict most.

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
    """These are the options of :class:`Recon`."""

    every: int = Field(
        1,
        ge=1,
        description="number of iterations from one measurement to the next, while tasks share "
        "everything",
    )
    parted: int | Literal["half"] = Field(
        "half",
        description="number of units of which every task gets a copy of its own, those with most "
        "conflicts first; half: half of the backbone's units, rounded down",
    )
    threshold: float = Field(
        0.0,
        gt=-1,
        lt=1,
        description="cosine between the gradients of two tasks below which they count as a "
        "conflict; the paper uses 0, -0.02 and -0.1",
    )
    rank_by: Literal["conflicts", "excess"] = Field(
        "conflicts",
        description="what the units are ranked by: conflicts, the share of pairs of tasks whose "
        "gradients conflict (paper), or excess, that share minus the one for gradients of shuffled "
        "entries, because units with few weights have more conflicts by chance",
    )


class Recon(MeasuredSharing):
    """Units in which the tasks' gradients conflict most often become every task's own.

    Conflicts are counted in a first phase with everything shared. Each unit is judged by itself:
    tasks may share a unit behind one that they do not share. With the preset ``paper`` the first
    phase is half of the run, and the threshold is that of the paper's smaller data sets.
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
        """Return the number of tasks, since a unit may become every task's own.

        Raises:
            MtlError: if there is one task only, or more units are asked for than there are.
        """
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
        """Register, for every unit, numbers of conflicts, of shuffled ones, and of pairs seen."""
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
        """Give every task its own weight in the units with most conflicts.

        Of units with equally many the one nearer to the input comes first.
        """
        measured = self.conflicts / self.pairs.clamp(min=1)
        if self.config.rank_by == "excess":
            measured = measured - self.chance / self.pairs.clamp(min=1)
        order = measured.argsort(descending=True, stable=True)
        groups = torch.zeros(len(measured), len(self.network.tasks), dtype=torch.int64)
        groups[order[: self._parted]] = torch.arange(len(self.network.tasks))
        return groups

    def told(self) -> str:
        """Say in one line which units have become every task's own."""
        own = (self.network.assignment.amax(1) > 0).tolist()
        names = [
            u.name for u, is_own in zip(self.network.backbone.units, own, strict=True) if is_own
        ]
        return (
            f"units with most conflicts, which are every task's own: {', '.join(names) or 'none'}"
        )


def _measured_gradients(network: TaskNetworks, batch: Batch) -> list[dict[nn.Parameter, Tensor]]:
    """Return the gradients of every task that has labels, and leave the networks as they are."""
    network.train()
    with undisturbed(network):
        gradients, _ = task_gradients(network, batch, network.assignment.cpu()[None])
    return [own for own in gradients if own]


def flat_gradients(
    gradients: Sequence[Mapping[nn.Parameter, Tensor]], parameters: Sequence[nn.Parameter]
) -> Float64[Tensor, "tasks entries"]:
    """Return the gradients of some parameters as a matrix with a row for each task.

    A row has the entries of one parameter behind those of the other; parameters without a gradient
    count as zeros.

    Args:
        gradients: for every task its gradients by parameter.
        parameters: the parameters whose gradients are taken.
    """
    rows = [
        torch.cat([
            (own[p] if p in own else torch.zeros_like(p)).detach().flatten() for p in parameters
        ])
        for own in gradients
    ]  # fmt: skip
    entries = sum(p.numel() for p in parameters)
    return torch.stack(rows).double().cpu() if rows else torch.zeros(0, entries).double()


def conflicts(rows: Float64[Tensor, "tasks entries"], threshold: float) -> int:
    """Return the number of pairs of rows whose cosine is below a threshold from -1 to 1."""
    directions = F.normalize(rows, dim=1)
    cosines = directions @ directions.T
    return int((cosines < threshold).triu(1).sum())


def shuffle(
    rows: Float64[Tensor, "tasks entries"], generator: torch.Generator
) -> Float64[Tensor, "tasks entries"]:
    """Return the rows with their entries in random order, another one for each row.

    Their cosines are those that gradients with the same entries have by chance.
    """
    if not len(rows):
        return rows
    orders = [torch.randperm(rows.shape[1], generator=generator) for _ in range(len(rows))]
    return torch.stack([row[order] for row, order in zip(rows, orders, strict=True)])
