"""Routers that learn by gradients: every task's blocks are drawn by Gumbel noise.

The drawn block goes on, as with the other routers; its gradient reaches all logits of the unit by
way of the soft choice (straight-through), for which all K blocks have to be run. The published
code runs the drawn block alone and multiplies what it reads by 1 + y - stopgrad(y), y the block's
probability. Where a norm follows, a factor of all that a path computes has no effect, so that its
gradient, the only one that the logits would get, is zero.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from mtl_framework import Backbone, MixtureNetworks, ParameterCounts, Sharing
from mtl_framework.data import Task


class UnitRoutes(nn.Module):
    """These are the logits by which every task chooses a block of one unit.

    In training, inside :meth:`GumbelNetworks.drawing`, shares are 1 for the block with the largest
    sum of logit and noise and 0 for all others, with the gradient of softmax((logits + noise) /
    temperature). Else they are 1 for the block with the largest logit.

    Args:
        tasks: T, the number of tasks.
        weights: K, the number of blocks.
    """

    def __init__(self, tasks: int, weights: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(tasks, weights))
        self.drawn: tuple[Tensor, float] | None = None

    def forward(self) -> Float[Tensor, "tasks weights"]:
        """Return the shares of the blocks."""
        weights = self.logits.shape[1]
        if self.drawn is None or not self.training:
            return F.one_hot(self.logits.argmax(-1), weights).to(self.logits)
        noise, temperature = self.drawn
        soft = ((self.logits + noise.to(self.logits)) / temperature).softmax(-1)
        hard = F.one_hot(soft.argmax(-1), weights).to(soft)
        return hard + (soft - soft.detach())


class GumbelNetworks(MixtureNetworks):
    """These are networks in which every unit's blocks all run, and one of them goes on.

    Args:
        backbone: the backbone, which says where units are.
        tasks: the tasks.
        blocks: K, of every unit.
    """

    def __init__(self, backbone: Backbone, tasks: Sequence[Task], blocks: int) -> None:
        units = range(len(backbone.units))
        routes = {unit: UnitRoutes(len(tasks), blocks) for unit in units}
        # one after the other: torch.vmap runs poolings that it cannot batch row by row
        super().__init__(backbone, tasks, blocks, pools=[], shares=[], mixed=routes, batched=False)

    def unit_routes(self) -> list[UnitRoutes]:
        """Return the logits of every unit."""
        return [routes for routes in self.mixed.values() if isinstance(routes, UnitRoutes)]

    def probabilities(self) -> Float64[Tensor, "units tasks weights"]:
        """Return how probable a draw of each block is."""
        logits = torch.stack([routes.logits.detach() for routes in self.unit_routes()])
        return logits.cpu().double().softmax(-1)

    def routes(self) -> Int64[Tensor, "units tasks"]:
        """Return the most probable block of every task at every unit."""
        return self.probabilities().argmax(-1)

    @contextmanager
    def drawing(
        self, noise: Float[Tensor, "units tasks weights"], temperature: float
    ) -> Iterator[None]:
        """Let passes inside the block draw blocks by this noise.

        Args:
            noise: independent draws of a standard Gumbel distribution.
            temperature: of the soft choice that gives the gradient.
        """
        for routes, own in zip(self.unit_routes(), noise, strict=True):
            routes.drawn = (own, temperature)
        try:
            yield
        finally:
            for routes in self.unit_routes():
                routes.drawn = None

    def leave_out_unused(self, used: Bool[Tensor, "units weights"]) -> None:
        """Take the gradients, all zero, from blocks that no task has drawn, as others have none.

        Adam would move such a block by what it remembers, and shrink what it divides by; whether it
        does is for ``training.unused_weights`` to say.

        Args:
            used: which blocks were drawn since the weights have moved.
        """
        drawn = used.tolist()
        for bank in self.banks():
            for block, copy in enumerate(bank.copies):
                if not drawn[bank.unit][block]:
                    for parameter in copy.parameters():
                        parameter.grad = None

    def extract(self, task: int) -> nn.Module:
        """Return one task's network: the plain model of its most probable blocks."""
        return self.extract_path(task, self.routes()[:, task].tolist())

    def sharing(self) -> Sharing:
        """Say which block of every unit is each task's most probable one."""
        return Sharing(
            tuple(unit.name for unit in self.backbone.units),
            tuple(task.name for task in self.tasks),
            self.routes(),
        )

    def parameter_counts(self) -> ParameterCounts:
        """Count all parameters, and those that the most probable blocks need."""
        used = set(self.shared_parameters())
        for task in range(len(self.tasks)):
            used.update(self.head(task).parameters())
        routes = self.routes()
        for bank in self.banks():
            for block in set(routes[bank.unit].tolist()):
                used.update(bank.copies[block].parameters())
        trained = sum(p.numel() for p in self.parameters())
        return ParameterCounts(trained, sum(p.numel() for p in used))


def gumbel_noise(
    shape: Sequence[int], generator: torch.Generator
) -> Float[Tensor, "units tasks weights"]:
    """Draw from a standard Gumbel distribution, -log(-log(U)), U uniform."""
    uniform = torch.rand(*shape, generator=generator).clamp(min=1e-20, max=1 - 1e-7)
    return -(-uniform.log()).log()
