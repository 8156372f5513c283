"""Hypermodules generate blocks of weights from small contexts.

Equations 5, 7 and 8 of Meyerson and Miikkulainen 2019, arXiv 1906.00097. All blocks of all networks
come from one batched product; nothing is done block by block.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..speed.bags import Choice


class Hypermodules(nn.Module):
    """There are K hypermodules, one a location at first, and a context for each of L locations.

    Block l is the sum over j of ``contexts[l, j] * hypermodules[k, j]`` with k the module of its
    location (equation 5). With contexts of size 0 a block is its module itself: equal modules
    then mean equal weights.

    Entries of a hypermodule start as N(0, gain / c), and a location's context as the same number
    z = sigma / sqrt(gain) in all components, so that the block has variance
    c z^2 (gain / c) = sigma^2. (Equation 7 is printed with c in the place of its root and would
    give sigma^2 / c; both agree for c = 1.) With contexts of size 0, module l starts as
    N(0, sigma^2) of location l.

    Args:
        deviations: sigma of every location, the standard deviation of its block's entries at the
            start.
        size: (m, n), the size of a block.
        context_size: c, the number of components of a context.
        gain: variance of a hypermodule's entries times c: 2 by He's rule, as the paper has it, 1 in
            the published code.
    """

    def __init__(
        self, deviations: Sequence[float], size: tuple[int, int], context_size: int, gain: float
    ) -> None:
        super().__init__()
        self.context_size = context_size
        sigma = torch.tensor(deviations, dtype=torch.get_default_dtype())
        self.register_buffer("deviations", sigma, persistent=False)
        self.deviations: Tensor
        components = max(context_size, 1)
        self.spread = math.sqrt(gain / components)
        values = torch.randn(len(sigma), components, *size)
        if context_size == 0:
            values *= sigma[:, None, None, None]
        else:
            values *= self.spread
        self.hypermodules = nn.Parameter(values)
        start = sigma[:, None] / math.sqrt(gain)
        self.contexts = nn.Parameter(start.repeat(1, context_size))

    def __len__(self) -> int:
        return len(self.contexts)

    @torch.no_grad()
    def start_at(self, blocks: Float[Tensor, "locations m n"]) -> None:
        """Change the hypermodules, one a location still, so that they generate these blocks."""
        if self.context_size == 0:
            self.hypermodules[:, 0].copy_(blocks)
            return
        z = self.contexts
        missing = blocks - torch.einsum("lc,lcmn->lmn", z, self.hypermodules)
        scale = (z / z.square().sum(1, keepdim=True))[:, :, None, None]
        self.hypermodules.add_(scale * missing[:, None])

    @torch.no_grad()
    def renew(
        self,
        modules: Int64[Tensor, " some"],
        locations: Int64[Tensor, " some"],
        generator: torch.Generator,
    ) -> None:
        """Draw modules anew, each for use at a location."""
        shape = (len(modules), *self.hypermodules.shape[1:])
        values = torch.randn(shape, generator=generator).to(self.hypermodules)
        if self.context_size == 0:
            values *= self.deviations[locations][:, None, None, None]
        else:
            values *= self.spread
        self.hypermodules[modules] = values

    @torch.no_grad()
    def fit(
        self, modules: Int64[Tensor, " locations"], incumbents: Int64[Tensor, " locations"]
    ) -> Float[Tensor, "locations c c"]:
        """Compute maps M from every location's context z to one that suits another module.

        The other module's block with context M z points as closely as it can the way of the
        incumbent's with z (it is its projection on what the module can generate, to a factor), and
        has the same norm. Where no block of the module has a part in that direction, M is the
        identity.

        Args:
            modules: for each location the module to be suited.
            incumbents: for each location the module that its context is for.
        """
        other = self.hypermodules[modules].flatten(2)
        incumbent = self.hypermodules[incumbents].flatten(2)
        gram, cross = (other @ other.mT).double(), (other @ incumbent.mT).double()
        maps = (torch.linalg.pinv(gram, hermitian=True) @ cross).to(self.contexts)
        z = self.contexts[:, None, :]  # (L, 1, c)
        wanted = (z @ incumbent).norm(dim=(1, 2), keepdim=True)
        norms = (z @ maps.mT @ other).norm(dim=(1, 2), keepdim=True)
        return torch.where(norms > 0, maps * (wanted / norms), self.unchanged())

    def unchanged(self) -> Float[Tensor, "c c"]:
        """Make the map that leaves contexts as they are."""
        return torch.eye(self.context_size).to(self.contexts)

    def forward(
        self,
        choice: Choice,
        probabilities: Float[Tensor, "locations candidates"],
        maps: Float[Tensor, "locations candidates c c"] | None = None,
    ) -> Float[Tensor, "locations m n"]:
        """Generate all blocks; candidates of one location are averaged by probability (equation 8).

        Args:
            choice: the candidates of every location.
            probabilities: probabilities of the candidates, read only where there are several.
            maps: maps of a location's context for each of its candidates; ``None``: no context is
                mapped.
        """
        table = self.hypermodules.flatten(0, 1).flatten(1)
        if choice.several:
            shares = torch.where(choice.open[:, None], probabilities, choice.only_first)
        else:
            shares = choice.only_first[:, :1].to(table.dtype)
        if self.context_size:
            contexts = self.contexts[:, None, :]
            if maps is not None and choice.several:
                contexts = torch.einsum("lijk,lk->lij", maps, self.contexts)
            shares = (shares[:, :, None] * contexts).flatten(1)
        weights = shares.reshape(-1)
        if choice.several:
            weights = weights.index_select(0, choice.kept)
        blocks = choice.bags.sum(table, weights.to(table))
        return blocks.view(len(self), *self.hypermodules.shape[2:])
