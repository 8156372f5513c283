"""All blocks come from one product, which sums weighted rows."""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

_FEW = 4096  # entries: gathering their rows is quicker than a sparse product


class Bags:
    """Bags put rows of a table together, each bag with a size of its own.

    On a CPU the gradients are two further products of the same kind, by the transposed layout and
    at the places of the rows only, several times faster than the library's.

    Worked example: bags (2, 0) and (2) of a table of three rows are ``rows`` 2, 0, 2 with
    ``offsets`` 0, 2. Sorted by row, entries 1, 0, 2 belong to bags 0, 0, 1; table row 0 has the
    first of them, row 1 none, row 2 the others: ``row_offsets`` are 0, 1, 1. So the gradient of row
    2 is w_0 g_0 + w_2 g_1, with weights w by entry and gradients g by bag.

    Args:
        rows: numbers of rows of the table, bag after bag.
        offsets: for each bag the position in ``rows`` at which it begins.
        num_rows: number of rows of the table.
    """

    def __init__(
        self, rows: Int64[Tensor, " entries"], offsets: Int64[Tensor, " bags"], num_rows: int
    ) -> None:
        self.rows, self.offsets = rows, offsets
        self._by_library = rows.device.type != "cpu"
        if self._by_library:
            return
        ends = torch.cat([offsets, offsets.new_tensor([len(rows)])])
        self.bag_of = torch.arange(len(offsets)).repeat_interleave(ends.diff())
        counts = rows.bincount(minlength=num_rows)
        self.by_row = rows.argsort(stable=True)
        self.bags_by_row = self.bag_of[self.by_row]
        self.row_offsets = counts.cumsum(0) - counts
        self.ends = ends

    def sum(
        self, table: Float[Tensor, "rows width"], weights: Float[Tensor, " entries"]
    ) -> Float[Tensor, "bags width"]:
        """Sum the rows of every bag, each times its weight; differentiable once."""
        if self._by_library:
            return F.embedding_bag(
                self.rows, table, self.offsets, mode="sum", per_sample_weights=weights
            )
        sums: Tensor = _Sum.apply(table, weights, self)
        return sums

    def products(
        self, table: Float[Tensor, "rows width"], values: Float[Tensor, "bags width"]
    ) -> Float[Tensor, " entries"]:
        """Multiply the row of every entry with its bag's value."""
        entries = len(self.rows)
        if entries <= _FEW or entries > len(values) * len(table):  # a matrix has no room for more
            return (table[self.rows] * values[self.bag_of]).sum(1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            places = torch.sparse_csr_tensor(
                self.ends,
                self.rows,
                values.new_zeros(entries),
                (len(values), len(table)),
                check_invariants=False,
            )
        products: Tensor = torch.sparse.sampled_addmm(places, values, table.T, beta=0.0)
        return products.values()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, weights: Tensor, bags: Bags) -> Tensor:
        ctx.save_for_backward(table, weights)
        ctx.bags = bags
        return F.embedding_bag(
            bags.rows, table, bags.offsets, mode="sum", per_sample_weights=weights
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        table, weights = ctx.saved_tensors
        bags: Bags = ctx.bags
        gradient = gradient.contiguous()
        of_table = of_weights = None
        if ctx.needs_input_grad[0]:
            of_table = F.embedding_bag(
                bags.bags_by_row,
                gradient,
                bags.row_offsets,
                mode="sum",
                per_sample_weights=weights[bags.by_row],
            )
        if ctx.needs_input_grad[1]:
            of_weights = bags.products(table, gradient)
        return of_table, of_weights, None


class Choice:
    """A choice says which modules generate which blocks, laid out for one product.

    Args:
        candidates: the modules of every location, the incumbent first.
        open: whether each location has challengers; the others use their incumbent alone.
        context_size: c, the number of components of a context.
        num_modules: K, the number of modules.
    """

    def __init__(
        self,
        candidates: Int64[Tensor, "locations candidates"],
        open: Bool[Tensor, " locations"],
        context_size: int,
        num_modules: int,
    ) -> None:
        locations, most = candidates.shape
        components = max(context_size, 1)
        self.open = open
        self.several = bool(open.any())
        self.only_first = F.one_hot(candidates.new_zeros(()), most).expand(locations, most)
        number = torch.where(open, most, 1)
        offsets = (number.cumsum(0) - number) * components
        parts = torch.arange(components, device=candidates.device)
        rows = candidates[:, :, None] * components + parts
        exists = torch.arange(most, device=candidates.device) < number[:, None]
        self.kept = exists[:, :, None].expand_as(rows).reshape(-1).nonzero()[:, 0]
        self.bags = Bags(rows.reshape(-1)[self.kept], offsets, num_modules * components)
