"""The joint model is reduced to what its networks need when training is over.

By section 3.3 of Meyerson and Miikkulainen 2019, arXiv 1906.00097, modules that no location uses
go, and those that fewer than c locations use cost more than the blocks they generate, which replace
them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..method.hypermodules import Hypermodules


@dataclass(frozen=True)
class CompactBlocks:
    """These are the blocks of a finished search, in as few numbers as they need.

    Args:
        hypermodules: (K, c, m, n), the modules that at least c locations use.
        contexts: (L - L_o, c), contexts of the locations that use them, in order.
        modules: (L,), the number of the module that each location uses; -1 where it has a block of
            its own.
        blocks: (L_o, m, n), these blocks, in order.
    """

    hypermodules: Float[Tensor, "modules components m n"]
    contexts: Float[Tensor, "generated context_size"]
    modules: Int64[Tensor, " locations"]
    blocks: Float[Tensor, "own m n"]

    @property
    def num_parameters(self) -> int:
        """Numbers kept: (L - L_o) c + K c m n + L_o m n; a module is m n for contexts of size 0."""
        return self.hypermodules.numel() + self.contexts.numel() + self.blocks.numel()

    def expand(self) -> Float[Tensor, "locations m n"]:
        """Return all blocks, as the networks use them."""
        generated = self.modules >= 0
        blocks = self.blocks.new_empty(len(self.modules), *self.hypermodules.shape[2:])
        blocks[~generated] = self.blocks
        chosen = self.hypermodules[self.modules[generated]]
        if self.contexts.shape[1]:
            blocks[generated] = torch.einsum("lc,lcmn->lmn", self.contexts, chosen)
        else:
            blocks[generated] = chosen[:, 0]
        return blocks


@torch.no_grad()
def compact(
    generator: Hypermodules,
    mapping: Int64[Tensor, " locations"],
    blocks: Float[Tensor, "locations m n"],
) -> CompactBlocks:
    """Keep modules that at least c locations use; the others become the blocks they generate.

    Args:
        generator: the hypermodules and contexts.
        mapping: the module of every location.
        blocks: the blocks that they generate under this mapping.
    """
    uses = mapping.bincount(minlength=len(generator.hypermodules))
    kept = uses >= max(generator.context_size, 1)
    # e.g. of three modules the first and the last are kept: their numbers are 0, -1, 1
    number = torch.where(kept, kept.cumsum(0) - 1, -1)
    generated = kept[mapping]
    return CompactBlocks(
        generator.hypermodules.detach()[kept],
        generator.contexts.detach()[generated],
        number[mapping],
        blocks.detach()[~generated],
    )


def count_compact(
    mapping: Int64[Tensor, " locations"], context_size: int, block: tuple[int, int]
) -> int:
    """Return ``num_parameters`` of :func:`compact`, without building it."""
    uses = mapping.bincount()
    enough = uses >= max(context_size, 1)
    size = block[0] * block[1]
    generated = int(uses[enough].sum())
    modules = int(enough.sum()) * max(context_size, 1) * size
    return generated * context_size + modules + (len(mapping) - generated) * size
