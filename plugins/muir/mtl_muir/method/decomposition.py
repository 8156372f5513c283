"""Weight tensors become m x n blocks, and blocks weight tensors.

Meyerson and Miikkulainen, "Modular Universal Reparameterization", NeurIPS 2019, arXiv 1906.00097,
section 2.1 (equation 2). The order of the blocks is that of the published code: input blocks, then
kernel taps row by row, then output blocks.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mtl_framework import MtlError


@dataclass(frozen=True)
class BlockGrid:
    """A grid says how one weight tensor is cut into blocks.

    Dense and recurrent weights are (out, in), those of convolutions (out, in, *taps). Where a block
    does not divide a side, the last blocks reach over the edge and what lies there is discarded.

    Worked example: 2 x 3 blocks of a weight (4, 6, 1, 2) are 2 along the outputs, 2 along the
    inputs and 2 taps. Block (1 * 2 + 0) * 2 + 1 = 5 has outputs 2 to 3 and inputs 3 to 5 of tap 0.

    Args:
        shape: shape of the weight tensor.
        block_out: m, number of output units of a block.
        block_in: n, number of input units of a block.

    Raises:
        MtlError: if a block has no size, or the tensor less than two dimensions.
    """

    shape: tuple[int, ...]
    block_out: int
    block_in: int

    def __post_init__(self) -> None:
        if min(self.block_out, self.block_in) < 1:
            raise MtlError(
                f"a block should be at least 1 x 1, found {self.block_out} x {self.block_in}"
            )
        if len(self.shape) < 2 or min(self.shape) < 1:
            raise MtlError(f"only weights (out, in, ...) have blocks, found shape {self.shape}")

    @property
    def outs(self) -> int:
        """Return the number of blocks along the outputs."""
        return math.ceil(self.shape[0] / self.block_out)

    @property
    def ins(self) -> int:
        """Return the number of blocks along the inputs."""
        return math.ceil(self.shape[1] / self.block_in)

    @property
    def taps(self) -> int:
        """Return the number of kernel positions; 1 for dense weights."""
        return math.prod(self.shape[2:])

    @property
    def count(self) -> int:
        """Return the number of blocks."""
        return self.ins * self.taps * self.outs

    @property
    def divides(self) -> bool:
        """Say whether the blocks cover the weight exactly, so that nothing is discarded."""
        return self.shape[0] % self.block_out == 0 and self.shape[1] % self.block_in == 0

    def index(self, in_block: int, out_block: int, tap: int = 0) -> int:
        """Return the number of a block among those of the tensor.

        Args:
            in_block: number of the block along the inputs, from 0 to ``ins`` - 1.
            out_block: number of the block along the outputs, from 0 to ``outs`` - 1.
            tap: number of the kernel position, from 0 to ``taps`` - 1, row-major.
        """
        return (in_block * self.taps + tap) * self.outs + out_block

    def pack(self, blocks: Float[Tensor, "*nets blocks m n"]) -> Float[Tensor, "*weight"]:
        """Make the weight tensor that consists of these blocks; differentiable.

        Leading dimensions, such as several networks of one kind, are kept.
        """
        m, n, lead = self.block_out, self.block_in, blocks.shape[:-3]
        grid = blocks.reshape(*lead, self.ins, self.taps, self.outs, m, n)
        # (ins, taps, outs, m, n) -> (outs, m, ins, n, taps)
        whole = grid.movedim((-3, -2, -5, -1, -4), (-5, -4, -3, -2, -1))
        weight = whole.reshape(*lead, self.outs * m, self.ins * n, self.taps)
        if not self.divides:
            weight = weight[..., : self.shape[0], : self.shape[1], :]
        return weight.reshape(*lead, *self.shape)

    def unpack(self, weight: Float[Tensor, "_ _ *taps"]) -> Float[Tensor, "blocks m n"]:
        """Return the blocks of a weight tensor, zero beyond its edges.

        Raises:
            MtlError: if the tensor has another shape.
        """
        if tuple(weight.shape) != self.shape:
            raise MtlError(f"expected a weight of shape {self.shape}, found {tuple(weight.shape)}")
        m, n = self.block_out, self.block_in
        over_out, over_in = self.outs * m - self.shape[0], self.ins * n - self.shape[1]
        padded = F.pad(weight.reshape(*self.shape[:2], self.taps), (0, 0, 0, over_in, 0, over_out))
        grid = padded.reshape(self.outs, m, self.ins, n, self.taps)
        return grid.permute(2, 4, 0, 1, 3).reshape(self.count, m, n)


def split_blocks(
    blocks: Float[Tensor, "*nets blocks m n"], grids: tuple[BlockGrid, ...]
) -> list[Float[Tensor, "..."]]:
    """Make the weight tensors of a network from all its blocks in order."""
    parts = torch.split(blocks, [grid.count for grid in grids], dim=-3)
    return [grid.pack(part) for grid, part in zip(grids, parts, strict=True)]
