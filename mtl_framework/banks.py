"""Weight banks: the alternative weights of one place of a unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .context import RoutingContext
from .routing import Call, RouteError


@dataclass(frozen=True)
class Ports:
    """Which leaves of a call's arguments and outputs carry rows, as measured by a probe.

    One entry a leaf, in the order of ``torch.utils._pytree``: the factor n of a tensor whose
    first dimension is n times the number of rows, or ``None`` for a leaf without rows.
    """

    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]


class WeightBank(nn.Module):
    """K copies of one place of a backbone, put where the place was.

    It receives the rows of the paths so far, sends to each used weight the rows that need it, one
    call a weight, and returns the rows of the paths one unit further.

    Args:
        copies: the weights, all of one architecture.
        unit: number of the unit that the place belongs to.
        ports: what the probe saw at each call of the place within one pass.
        context: the pass that the bank takes part in.
        checkpoint: recompute activations during the backward pass instead of keeping them.
    """

    def __init__(
        self,
        copies: Sequence[nn.Module],
        unit: int,
        ports: Sequence[Ports],
        context: RoutingContext,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        self.unit = unit
        self.ports = tuple(ports)
        self.context = context
        self.checkpoint = checkpoint

    def extra_repr(self) -> str:
        """The unit's number."""
        return f"unit={self.unit}"

    def __getattr__(self, name: str) -> Any:
        """Plain attributes that a model reads from its blocks come from the first copy."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            value = getattr(super().__getattr__("copies")[0], name)
            if isinstance(value, (nn.Parameter, nn.Module)) or callable(value):
                raise AttributeError(
                    f"{name!r} of a weight bank: parameters and methods belong to one weight; "
                    "the bank cannot say which is meant"
                ) from None
            return value

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Route the rows of all arguments through the weights that their paths use."""
        context = self.context
        route = context.route(self.unit)
        assert context.plan is not None
        examples = context.plan.examples
        ports = self._ports()
        leaves, spec = pytree.tree_flatten((args, kwargs))
        if len(leaves) != len(ports.inputs):
            raise RouteError(
                f"a place of unit {self.unit} was called with {len(leaves)} argument values, the "
                f"probe saw {len(ports.inputs)}"
            )
        for leaf, factor in zip(leaves, ports.inputs, strict=True):
            if factor is not None and leaf.shape[0] != examples * route.groups_in * factor:
                raise RouteError(
                    f"unit {self.unit} got {leaf.shape[0]} rows, its paths have "
                    f"{examples * route.groups_in * factor}"
                )
        if route.identity:
            call = route.calls[0]
            result = self._call(call, args, kwargs)
            self._check(result, ports, examples * route.groups_out)
            context.passed(route)
            return result
        per_call: list[list[Any]] = [[] for _ in route.calls]
        sources = [call.source for call in route.calls]
        for leaf, factor in zip(leaves, ports.inputs, strict=True):
            parts: Sequence[Any]
            if factor is None:
                parts = [leaf] * len(sources)
            else:
                parts = split_groups(leaf, sources, examples, route.groups_in)
            for values, part in zip(per_call, parts, strict=True):
                values.append(part)
        results = []
        for call, values in zip(route.calls, per_call, strict=True):
            call_args, call_kwargs = pytree.tree_unflatten(values, spec)
            result = self._call(call, call_args, call_kwargs)
            self._check(result, ports, examples * len(call.target))
            results.append(pytree.tree_flatten(result))
        merged = []
        targets = [call.target for call in route.calls]
        for position, factor in enumerate(ports.outputs):
            parts = [result_leaves[position] for result_leaves, _ in results]
            if factor is None:
                merged.append(parts[0])
            else:
                merged.append(merge_groups(parts, targets, examples, route.groups_out))
        context.passed(route)
        return pytree.tree_unflatten(merged, results[0][1])

    def _ports(self) -> Ports:
        """Ports of this call: places of tied modules are called several times a pass."""
        number = self.context.calls.get(id(self), 0)
        self.context.calls[id(self)] = number + 1
        if number >= len(self.ports):
            raise RouteError(
                f"a place of unit {self.unit} was called {number + 1} times, the probe saw "
                f"{len(self.ports)}"
            )
        return self.ports[number]

    def _call(self, call: Call, args: Any, kwargs: Any) -> Any:
        context, copy = self.context, self.copies[call.weight]
        gather = context.gather_statistics
        if not (self.checkpoint and torch.is_grad_enabled()):
            with context.seeing(call.rows, gather):
                return copy(*args, **kwargs)
        first = True

        def run(*run_args: Any, **run_kwargs: Any) -> Any:
            # the repeated call in the backward pass must leave running statistics alone
            nonlocal first
            gathers, first = gather and first, False
            with context.seeing(call.rows, gathers):
                return copy(*run_args, **run_kwargs)

        return torch.utils.checkpoint.checkpoint(run, *args, use_reentrant=False, **kwargs)

    def _check(self, result: Any, ports: Ports, rows: int) -> None:
        leaves = pytree.tree_leaves(result)
        if len(leaves) != len(ports.outputs):
            raise RouteError(
                f"a place of unit {self.unit} returned {len(leaves)} values, the probe saw "
                f"{len(ports.outputs)}"
            )
        for leaf, factor in zip(leaves, ports.outputs, strict=True):
            if factor is not None and leaf.shape[0] != rows * factor:
                raise RouteError(
                    f"unit {self.unit} returned {leaf.shape[0]} rows instead of {rows * factor}"
                )


def split_groups(
    x: Tensor, sources: Sequence[Tensor], examples: int, groups: int
) -> tuple[Tensor, ...]:
    """Rows of some groups for each of several calls.

    Args:
        x: (examples * groups * n, ...), example-major.
        sources: for each call the groups (g,) that it reads.
        examples: B.
        groups: G.

    Returns:
        for each call (examples * g * n, ...), example-major.
    """
    parts: tuple[Tensor, ...] = _Split.apply(x, examples, groups, *sources)
    return parts


def merge_groups(
    parts: Sequence[Tensor], targets: Sequence[Tensor], examples: int, groups: int
) -> Tensor:
    """Put the outputs of several calls together; each group is written by exactly one call.

    Args:
        parts: for each call (examples * g * n, ...), example-major.
        targets: for each call the groups (g,) that it writes.
        examples: B.
        groups: G, all groups written.

    Returns:
        (examples * groups * n, ...), example-major.
    """
    merged: Tensor = _Merge.apply(examples, groups, len(parts), *targets, *parts)
    return merged


def _by_group(x: Tensor, examples: int, groups: int) -> Tensor:
    return x.reshape(examples, groups, x.shape[0] // (examples * groups), *x.shape[1:])


class _Split(torch.autograd.Function):
    """Several index selections whose gradients meet in one buffer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, examples: int, groups: int, *sources: Tensor) -> Any:
        ctx.sizes = examples, groups, x.shape
        ctx.sources = sources
        view = _by_group(x, examples, groups)
        return tuple(view.index_select(1, source).flatten(0, 2) for source in sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        examples, groups, shape = ctx.sizes
        total: Tensor | None = None
        for source, gradient in zip(ctx.sources, gradients, strict=True):
            if gradient is None:
                continue
            if total is None:
                total = gradient.new_zeros(shape)
            # a call reads a parent once for each of its children
            part = _by_group(gradient, examples, len(source))
            _by_group(total, examples, groups).index_add_(1, source, part)
        return (total, None, None, *[None] * len(ctx.sources))


class _Merge(torch.autograd.Function):
    """Several writes into one buffer; the gradient is read back group by group."""

    @staticmethod
    def forward(ctx: Any, examples: int, groups: int, count: int, *tensors: Tensor) -> Tensor:
        targets, parts = tensors[:count], tensors[count:]
        ctx.sizes = examples, groups
        ctx.targets = targets
        inner = parts[0].shape[0] // (examples * len(targets[0]))
        merged = parts[0].new_empty(examples * groups * inner, *parts[0].shape[1:])
        view = _by_group(merged, examples, groups)
        for target, part in zip(targets, parts, strict=True):
            view.index_copy_(1, target, _by_group(part, examples, len(target)))
        return merged

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        examples, groups = ctx.sizes
        view = _by_group(gradient, examples, groups)
        parts = [view.index_select(1, target).flatten(0, 2) for target in ctx.targets]
        return (None, None, None, *[None] * len(ctx.targets), *parts)
