"""Groups of rows are moved here: the copies that routing makes, with their gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .batched import blocks_of, gathered, is_batched, joined_blocks


@dataclass(frozen=True)
class RowLayout:
    """A layout says how (example, group) pairs lie in the first dimension of a tensor.

    Each pair may stand for several rows in a row (patches of an image).

    Worked example: B = 2 examples, G = 3 groups. Example 1 of group 1 is row 1 * B + 1 = 3 where
    rows are group-major, and row 1 * G + 1 = 4 where they are example-major; with n = 4 rows a
    pair, rows 12 to 15 and 16 to 19.
    """

    examples: int
    groups: int
    group_major: bool

    def split_first(self, x: Tensor) -> Tensor:
        """View rows with their first dimension taken apart, as (B, G, n, ...)."""
        inner = x.shape[0] // (self.examples * self.groups)
        if self.group_major:
            return torch.unflatten(x, 0, (self.groups, self.examples, inner)).transpose(0, 1)
        return torch.unflatten(x, 0, (self.examples, self.groups, inner))

    def join_first(self, x: Tensor) -> Tensor:
        """Put (B, G, n, ...) back into rows, the reverse of :meth:`split_first`."""
        if self.group_major:
            x = x.transpose(0, 1)
        return x.flatten(0, 2)


def split_groups(
    x: Tensor, sources: Sequence[Tensor], layout: RowLayout, in_order: bool = False
) -> tuple[Tensor, ...]:
    """Give each of several calls the rows of the groups that it reads.

    Args:
        x: rows in ``layout``.
        sources: for each call the numbers (g,) of the groups that it reads.
        layout: layout of ``x``.
        in_order: whether the calls read all groups once, one after the other. Group-major rows are
            then not copied: what a call does to its rows in place, it does to ``x``.

    Returns:
        for each call its rows, in the layout of g groups and the memory format of ``x``.
    """
    if in_order and layout.group_major:
        rows = x.shape[0] // layout.groups
        pieces: tuple[Tensor, ...] = _Cut.apply(x, [rows * len(source) for source in sources])
        return pieces
    parts: tuple[Tensor, ...] = _Split.apply(x, layout, *sources)
    return parts


def merge_groups(
    parts: Sequence[Tensor], targets: Sequence[Tensor], layout: RowLayout, in_order: bool = False
) -> Tensor:
    """Put the outputs of several calls together; each group is written by exactly one call.

    In the example of :class:`~mtl_framework.routing.path_trie.PathTrie`, with two examples in
    group-major order, the calls of unit 1 read groups (0, 1) and (0), which are rows 0 to 3 and 0
    to 1 of level 1. They write groups (0, 1) and (2), which are rows 0 to 3 and 4 to 5 of level 2.

    Args:
        parts: for each call its rows, in the layout of g groups.
        targets: for each call the numbers (g,) of the groups that it writes.
        layout: layout of the result, all of whose groups are written.
        in_order: whether the calls write all groups once, one after the other.

    Returns:
        rows in ``layout``, in the memory format of the first part.
    """
    if in_order and layout.group_major:
        joined: Tensor = _Join.apply(*parts)
        return joined
    merged: Tensor = _Merge.apply(layout, len(parts), *targets, *parts)
    return merged


def stack_groups(groups: Sequence[Tensor], group_major: bool) -> Tensor:
    """Lay groups that are given one by one, all with the same number of examples, into rows."""
    if len(groups) == 1:
        return groups[0]
    return torch.stack(list(groups), 0 if group_major else 1).flatten(0, 1)


def channels_by_group(x: Tensor, layout: RowLayout) -> tuple[Tensor, int]:
    """View (B, G * C, ...) of example-major rows, and how many rows an example has inside."""
    inner = x.shape[0] // (layout.examples * layout.groups)
    if layout.groups == 1:
        return x, 1
    if inner == 1:
        return x.reshape(layout.examples, -1, *x.shape[2:]), 1
    x = x.reshape(layout.examples, layout.groups, inner, x.shape[1], -1).transpose(2, 3)
    return x.reshape(layout.examples, -1, inner, x.shape[4]), inner


def rows_by_group(y: Tensor, x: Tensor, layout: RowLayout, inner: int) -> Tensor:
    """Undo :func:`channels_by_group` of rows ``x`` for what was made of them."""
    if layout.groups == 1:
        return y
    if inner == 1:
        # no view in autograd's eyes: an activation in place would make its gradient a copy
        rows: Tensor = torch.ops.aten._unsafe_view(y, x.shape)
        return rows
    y = y.reshape(layout.examples, layout.groups, x.shape[1], inner, -1).transpose(2, 3)
    return y.reshape(x.shape)


def columns_apart(x: Tensor, layout: RowLayout, inputs: int) -> Tensor:
    """View rows by input and column, where the groups of an input lie one after the other.

    Args:
        x: rows in ``layout``.
        layout: layout of ``x``.
        inputs: number of inputs.

    Returns:
        (inputs, columns, examples, ...), where columns are the groups of an input.
    """
    columns = layout.groups // inputs
    if layout.group_major:
        return torch.unflatten(x, 0, (inputs, columns, layout.examples))
    return torch.unflatten(x, 0, (layout.examples, inputs, columns)).movedim(0, 2)


def columns_together(apart: Tensor, layout: RowLayout, like: Tensor) -> Tensor:
    """Put (inputs, columns, examples, ...) back into rows, in the memory format of ``like``."""
    if not layout.group_major:
        return apart.movedim(2, 0).flatten(0, 2)
    y = apart.flatten(0, 2)
    return y.contiguous(memory_format=torch.channels_last) if channels_last(like) else y


def channels_last(x: Tensor) -> bool:
    """Say whether images are stored with their channels innermost."""
    return (
        x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    )


class _Blocks:
    """This views rows as a matrix, one dense block of memory for each (outer, group) pair.

    The matrix is (G, block) where rows are group-major, (B, G, block) where example-major.
    """

    def __init__(self, x: Tensor, layout: RowLayout, last: bool) -> None:
        self.layout, self.last, self.tail = layout, last, x.shape[1:]
        self.dim = 0 if layout.group_major else 1
        size = (layout.groups,) if layout.group_major else (layout.examples, layout.groups)
        self.matrix = (x.permute(0, 2, 3, 1) if last else x).reshape(*size, -1)
        self.inner = x.shape[0] // (layout.examples * layout.groups)

    def empty(self, groups: int) -> tuple[Tensor, "_Blocks"]:
        """Make uninitialised rows of another number of groups, and blocks that alias them."""
        layout = RowLayout(self.layout.examples, groups, self.layout.group_major)
        rows = torch.empty(
            (layout.examples * groups * self.inner, *self.tail),
            dtype=self.matrix.dtype,
            device=self.matrix.device,
            memory_format=torch.channels_last if self.last else torch.contiguous_format,
        )
        return rows, _Blocks(rows, layout, self.last)

    def select(self, groups: Tensor) -> Tensor:
        """Copy the rows of some groups."""
        rows, blocks = self.empty(len(groups))
        torch.index_select(self.matrix, self.dim, groups, out=blocks.matrix)
        return rows


def _part(layout: RowLayout, groups: int) -> RowLayout:
    return RowLayout(layout.examples, groups, layout.group_major)


def _pieces(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Return consecutive rows as tensors that autograd does not know to be views."""
    return tuple(
        torch.ops.aten._unsafe_view(part, part.shape) for part in torch.split(x, list(sizes))
    )


def _joined(parts: Sequence[Tensor], last: bool) -> Tensor:
    """Put parts one after the other, all in one memory format."""
    if last:
        parts = [part.contiguous(memory_format=torch.channels_last) for part in parts]
    return torch.cat(list(parts))


class _Cut(torch.autograd.Function):
    """This cuts consecutive rows without a copy; one copy puts their gradients together."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: Sequence[int]) -> Any:
        ctx.last = channels_last(x)
        ctx.set_materialize_grads(True)
        return _pieces(x, sizes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if any(is_batched(gradient) for gradient in gradients):
            return torch.cat(gradients), None
        return _joined(gradients, ctx.last), None


class _Join(torch.autograd.Function):
    """This joins all parts by one copy; their gradients are views of the gradient of the whole."""

    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        ctx.sizes, ctx.last = [len(part) for part in parts], channels_last(parts[0])
        return _joined(parts, ctx.last)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        if ctx.last and not is_batched(gradient):
            gradient = gradient.contiguous(memory_format=torch.channels_last)
        return tuple(torch.split(gradient, ctx.sizes))


class _Split(torch.autograd.Function):
    """This makes several selections of groups, whose gradients meet in one buffer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: RowLayout, *sources: Tensor) -> Any:
        ctx.layout, ctx.sources, ctx.last = layout, sources, channels_last(x)
        blocks = _Blocks(x, layout, ctx.last)
        return tuple(blocks.select(source) for source in sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        layout: RowLayout = ctx.layout
        nothing = None, *[None] * len(ctx.sources)
        if any(is_batched(gradient) for gradient in gradients):
            sizes = layout.examples, layout.groups, layout.group_major
            return (gathered(ctx.sources, gradients, *sizes), *nothing)
        total_gradient: Tensor | None = None
        for source, gradient in zip(ctx.sources, gradients, strict=True):
            if gradient is None:
                continue
            blocks = _Blocks(gradient, _part(layout, len(source)), ctx.last)
            if total_gradient is None:
                total_gradient, total = blocks.empty(layout.groups)
                total_gradient.zero_()
            # a group is read once for each of its children
            total.matrix.index_add_(blocks.dim, source, blocks.matrix)
        return (total_gradient, *nothing)


class _Merge(torch.autograd.Function):
    """This writes several parts into one buffer; their gradients are read back group by group."""

    @staticmethod
    def forward(ctx: Any, layout: RowLayout, count: int, *tensors: Tensor) -> Tensor:
        targets, parts = tensors[:count], tensors[count:]
        # gradients get the format of what they belong to: kernels are slow where the two differ
        ctx.layout, ctx.targets, ctx.last = layout, targets, channels_last(parts[0])
        all_blocks = [
            _Blocks(part, _part(layout, len(target)), ctx.last)
            for target, part in zip(targets, parts, strict=True)
        ]
        merged, whole = all_blocks[0].empty(layout.groups)
        for target, blocks in zip(targets, all_blocks, strict=True):
            whole.matrix.index_copy_(blocks.dim, target, blocks.matrix)
        return merged

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        if is_batched(gradient):
            sizes = ctx.layout.examples, ctx.layout.groups, ctx.layout.group_major
            apart, dim = blocks_of(gradient, *sizes)
            parts = [joined_blocks(apart.index_select(dim, t), dim) for t in ctx.targets]
        else:
            blocks = _Blocks(gradient, ctx.layout, ctx.last)
            parts = [blocks.select(target) for target in ctx.targets]
        return (None, None, *[None] * len(ctx.targets), *parts)
