"""Backward passes of our own run under ``torch.vmap``, which takes several gradients at once.

``torch.vmap`` around ``torch.autograd.grad``, as libraries of gradient methods such as TorchJD call
it, and ``is_grads_batched=True`` run a backward pass on tensors that stand for many. Such a tensor
can be read by every plain operation, but not be written into a buffer that exists already, and it
does not tell its memory format. The backward passes here write into buffers because that is faster;
for such tensors they step aside and do the same with plain operations.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def is_batched(tensor: Tensor | None) -> bool:
    """Say whether a tensor stands for several ones, as inside ``torch.vmap``."""
    kinds = torch._C._functorch
    return tensor is not None and (
        kinds.is_batchedtensor(tensor) or kinds.is_legacy_batchedtensor(tensor)
    )


def each_of(tensor: Tensor, count: int) -> list[Tensor]:
    """Return what a tensor stands for inside ``torch.vmap``, as plain tensors that may leave it.

    Args:
        tensor: a batched tensor, or a plain one that is the same for all.
        count: number of tensors that it stands for.
    """
    return list(all_of(tensor)) if is_batched(tensor) else [tensor] * count


def all_of(tensor: Tensor) -> Tensor:
    """Return all that a batched tensor stands for, in a first dimension of one plain tensor."""
    kinds = torch._C._functorch
    plain: Tensor = kinds.get_unwrapped(tensor)
    return plain.movedim(kinds.maybe_get_bdim(tensor), 0)


def blocks_of(rows: Tensor, examples: int, groups: int, group_major: bool) -> tuple[Tensor, int]:
    """Give rows a dimension of their own for groups, and say which one that is.

    Args:
        rows: (examples * groups * n, ...), in one of the two orders of examples and groups.
        examples: B.
        groups: G.
        group_major: whether the rows of a group lie together.

    Returns:
        (G, B * n, ...) and 0, or (B, G, n, ...) and 1.
    """
    inner, tail = rows.shape[0] // (examples * groups), rows.shape[1:]
    if group_major:
        return rows.reshape(groups, examples * inner, *tail), 0
    return rows.reshape(examples, groups, inner, *tail), 1


def joined_blocks(blocks: Tensor, dim: int) -> Tensor:
    """Undo :func:`blocks_of`: return its rows."""
    rows = math.prod(blocks.shape[: dim + 2])
    return blocks.reshape(rows, *blocks.shape[dim + 2 :])


def gathered(
    sources: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    examples: int,
    groups: int,
    group_major: bool,
) -> Tensor | None:
    """Sum what several selections of groups hand back; ``None`` where none does.

    Args:
        sources: for each selection the groups that it has read.
        gradients: for each selection the gradient of its rows, or ``None``.
        examples: B.
        groups: G, number of the groups that the selections were made from.
        group_major: order of all rows.
    """
    total: Tensor | None = None
    for source, gradient in zip(sources, gradients, strict=True):
        if gradient is None:
            continue
        blocks, dim = blocks_of(gradient, examples, len(source), group_major)
        shape = [*blocks.shape]
        shape[dim] = groups
        start = blocks.new_zeros(shape) if total is None else total
        total = torch.index_add(start, dim, source, blocks)
    return None if total is None else joined_blocks(total, 0 if group_major else 1)
