"""A weight bank holds the alternative weights of one place of a unit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.checkpoint
from torch import nn
from torch.utils import _pytree as pytree

from .forward_pass import ForwardPass
from .layout import RowLayout, merge_groups, split_groups
from .one_call import OneCall
from .plan import Call, Route, RouteError, RoutePlan


def plain_attribute(module: nn.Module, name: str) -> Any:
    """Return a plain attribute that a model reads from a part for which several copies stand.

    Raises:
        AttributeError: if it does not exist, or is a parameter, module or method.
    """
    value = getattr(module, name)
    if isinstance(value, (nn.Parameter, nn.Module)) or callable(value):
        raise AttributeError(
            f"{name!r} of a weight bank: parameters and methods belong to one weight; "
            "the bank cannot say which is meant"
        ) from None
    return value


@dataclass(frozen=True)
class Ports:
    """Ports say which leaves of a call's arguments and outputs carry rows, as a probe measured it.

    There is one entry for each leaf, in the order of ``torch.utils._pytree``: the rows per example
    of a tensor, n where its first dimension is n times the number of (example, path) pairs, or
    ``None`` for a leaf without rows. ``shapes`` are those of the outputs without that dimension.
    """

    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    shapes: tuple[tuple[int, ...] | None, ...]


class WeightBank(nn.Module):
    """A bank holds K copies of one place of a backbone and stands where the place was.

    It receives the rows of the paths so far, sends to each used weight the rows that need it, one
    call a weight, and returns the rows of the paths one unit further.

    Args:
        copies: the K copies of the place, modules of one architecture.
        unit: number of the unit that the place belongs to.
        ports: what the probe saw at each call of the place within one pass.
        forward_pass: the pass that the bank takes part in.
        checkpoint: recompute activations during the backward pass instead of keeping them.
    """

    def __init__(
        self,
        copies: Sequence[nn.Module],
        unit: int,
        ports: Sequence[Ports],
        forward_pass: ForwardPass,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        self.unit = unit
        self.ports = tuple(ports)
        self.forward_pass = forward_pass
        self.checkpoint = checkpoint
        self._then: tuple[Callable[[Any], Any], ...] = ()
        self._one_call = OneCall(self.copies, forward_pass)

    def parameters_of(self, weight: int) -> list[nn.Parameter]:
        """Return the parameters that a path with this weight uses."""
        return list(self.copies[weight].parameters())

    def followed_by(self, function: Callable[[Any], Any]) -> None:
        """Let what the bank returns pass a function of the rows of the next level."""
        self._then = (function,)

    def extra_repr(self) -> str:
        """Show the number of the unit in ``repr``."""
        return f"unit={self.unit}"

    def __getattr__(self, name: str) -> Any:
        """Return plain attributes, which a model may read from its blocks, from the first copy."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            copies: Any = super().__getattr__("copies")
            return plain_attribute(copies[0], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Route the rows of all arguments through the weights that their paths use."""
        forward_pass = self.forward_pass
        route = forward_pass.route(self.unit)
        plan = forward_pass.plan
        assert plan is not None
        examples = plan.examples
        ports = self._ports()
        leaves, spec = pytree.tree_flatten((args, kwargs))
        self._check_rows("got", leaves, ports.inputs, examples * route.groups_in)
        if route.identity:
            call = route.calls[0]
            result = self._call(call, args, kwargs)
            self._check(result, ports, examples * route.groups_out)
            forward_pass.passed(route)
            return self._followed(result)

        if plan.options.batched and self._fits_one_call(route, plan, ports):
            result = self._one_call(route, leaves, spec, ports.inputs, self.unit)
            self._check(result, ports, examples * route.groups_out)
            forward_pass.passed(route)
            return self._followed(result)

        def layout(groups: int) -> RowLayout:
            return RowLayout(examples, groups, plan.group_major)

        per_call: list[list[Any]] = [[] for _ in route.calls]
        sources = [call.source for call in route.calls]
        for leaf, per_example in zip(leaves, ports.inputs, strict=True):
            parts: Sequence[Any]
            if per_example is None:
                parts = [leaf] * len(sources)
            else:
                parts = split_groups(leaf, sources, layout(route.groups_in), route.reads_in_order)
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
        for position, per_example in enumerate(ports.outputs):
            parts = [result_leaves[position] for result_leaves, _ in results]
            if per_example is None:
                merged.append(parts[0])
            else:
                merged.append(
                    merge_groups(parts, targets, layout(route.groups_out), route.writes_in_order)
                )
        forward_pass.passed(route)
        return self._followed(pytree.tree_unflatten(merged, results[0][1]))

    def _fits_one_call(self, route: Route, plan: RoutePlan, ports: Ports) -> bool:
        """Say whether all weights can run in one call.

        Not where activations are recomputed, the bank returns anything but rows, or a statistic is
        pooled over several groups.
        """
        pooled = plan.statistics.is_pooled and self.training
        recomputed = self.checkpoint and torch.is_grad_enabled()
        return len(route.calls) > 1 and None not in ports.outputs and not (pooled or recomputed)

    def _followed(self, result: Any) -> Any:
        for function in self._then:
            result = function(result)
        return result

    def _ports(self) -> Ports:
        """Return the ports of this call: a tied module's place is called several times a pass."""
        number = self.forward_pass.calls.get(id(self), 0)
        self.forward_pass.calls[id(self)] = number + 1
        if number >= len(self.ports):
            raise RouteError(
                f"a place of unit {self.unit} was called {number + 1} times, the probe saw "
                f"{len(self.ports)}"
            )
        return self.ports[number]

    def _call(self, call: Call, args: Any, kwargs: Any) -> Any:
        forward_pass, copy = self.forward_pass, self.copies[call.weight]
        gather = forward_pass.gather_statistics
        if not (self.checkpoint and torch.is_grad_enabled()):
            with forward_pass.seeing(call.rows, gather):
                return copy(*args, **kwargs)
        first = True

        def run(*run_args: Any, **run_kwargs: Any) -> Any:
            # the repeated call in the backward pass must leave running statistics alone
            nonlocal first
            gathers, first = gather and first, False
            with forward_pass.seeing(call.rows, gathers):
                return copy(*run_args, **run_kwargs)

        return torch.utils.checkpoint.checkpoint(run, *args, use_reentrant=False, **kwargs)

    def _check_rows(
        self, did: str, leaves: Sequence[Any], each: Sequence[int | None], rows: int
    ) -> None:
        """Refuse values that are more or fewer than the probe saw, or have other rows.

        Args:
            did: what the bank did with them, for messages.
            leaves: the values.
            each: for each value its rows per example and group; ``None``: it has none.
            rows: number of examples times that of groups.
        """
        if len(leaves) != len(each):
            raise RouteError(
                f"a place of unit {self.unit} {did} {len(leaves)} values, the probe saw {len(each)}"
            )
        for leaf, per_example in zip(leaves, each, strict=True):
            wanted = rows * (per_example or 1)
            if per_example is not None and leaf.shape[0] != wanted:
                raise RouteError(
                    f"unit {self.unit} {did} {leaf.shape[0]} rows, its paths have {wanted}"
                )

    def _check(self, result: Any, ports: Ports, rows: int) -> None:
        self._check_rows("returned", pytree.tree_leaves(result), ports.outputs, rows)


class SequenceBank(WeightBank):
    """A bank of sequences of one module each is a sequence of one: the bank itself.

    A transformer of one block reads the number of its blocks, and calls one after the other.
    """

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[WeightBank]:
        yield self

    def __getitem__(self, place: int | slice) -> WeightBank | list[WeightBank]:
        one: list[WeightBank] = [self]
        return one[place]


def make_bank(
    copies: Sequence[nn.Module],
    unit: int,
    ports: Sequence[Ports],
    forward_pass: ForwardPass,
    checkpoint: bool = False,
) -> WeightBank:
    """Make the bank of one place; its arguments are those of :class:`WeightBank`."""
    first = copies[0]
    kind = SequenceBank if isinstance(first, nn.Sequential) and len(first) == 1 else WeightBank
    return kind(copies, unit, ports, forward_pass, checkpoint)
