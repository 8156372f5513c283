"""All weights of a bank can run in one call: every group of rows beside a copy of its weight.

One call a weight starts as many kernels as there are weights. Where units are small, a GPU is done
with a kernel before the next one has been started; then one call for all of them is faster, though
every group of rows needs a copy of its weight.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ..support.errors import MtlError
from .forward_pass import ForwardPass, Together
from .layout import RowLayout
from .norms import RoutedBatchNorm
from .plan import Route, RouteError, RoutePlan


class OneCall:
    """This runs the weights of a bank in one call, under ``torch.vmap`` over groups of rows.

    Convolutions become one with as many groups, matrix products a batch of them.

    Args:
        copies: the weights of the bank, modules of one architecture. They are read at every call,
            as a weight that is a norm itself is replaced when the bank stands already.
        forward_pass: the pass that they take part in.
    """

    def __init__(self, copies: nn.ModuleList, forward_pass: ForwardPass) -> None:
        self._copies, self._forward_pass = copies, forward_pass

    def __call__(
        self,
        route: Route,
        leaves: Sequence[Any],
        spec: pytree.TreeSpec,
        rows_of: Sequence[int | None],
        unit: int,
    ) -> Any:
        """Return what the weights return, rows of the next level in the order of its groups.

        Args:
            route: the route of the rows.
            leaves: the values among the arguments of the bank.
            spec: where they are in the arguments.
            rows_of: for each value its rows per example and group; ``None``: it has no rows.
            unit: number of the unit, for messages.

        Raises:
            MtlError: if ``torch.vmap`` cannot run the weights.
        """
        forward_pass, first = self._forward_pass, self._copies[0]
        plan = forward_pass.plan
        assert plan is not None
        dim = 0 if plan.group_major else 1
        positions = [n for n, per_example in enumerate(rows_of) if per_example is not None]
        given = [_of_groups(leaves[n], route, plan) for n in positions]
        specs: list[pytree.TreeSpec] = []

        def run(state: dict[str, Tensor], *own: Tensor) -> tuple[Tensor, ...]:
            values = list(leaves)
            for position, rows in zip(positions, own, strict=True):
                values[position] = rows if plan.group_major else rows.flatten(0, 1)
            args, kwargs = pytree.tree_unflatten(values, spec)
            returned, out = pytree.tree_flatten(functional_call(first, state, args, kwargs))
            specs.append(out)
            if plan.group_major:
                return tuple(returned)
            return tuple(rows.unflatten(0, (plan.examples, -1)) for rows in returned)

        used = [self._copies[call.weight] for call in route.calls]
        same = zip(first.modules(), *(copy.modules() for copy in used), strict=True)
        together = Together(route.calls, {id(called): tuple(modules) for called, *modules in same})
        device = given[0].device
        with (
            _refusals(unit, first),
            forward_pass.seeing_together(together),
            batchable_attention(device),
            _autocast_convolutions(device),
        ):
            mapped = torch.vmap(run, (0, *[dim] * len(given)), dim, randomness="different")
            parts = mapped(self._state(used, route, plan), *given)
        joined = [part.flatten(0, 1 if plan.group_major else 2) for part in parts]
        return pytree.tree_unflatten(joined, specs[0])

    def _state(self, used: Sequence[nn.Module], route: Route, plan: RoutePlan) -> dict[str, Tensor]:
        """Return parameters and buffers of every group's weight: (groups, ...) each.

        Running averages of a group are those of its task. Only weights that are used are read, so
        that the others get no gradient.
        """
        one_each = len(used) == route.groups_out and route.writes_in_order

        def of_groups(tensors: Sequence[Tensor]) -> Tensor:
            stacked = torch.stack(list(tensors))
            return stacked if one_each else stacked.index_select(0, route.call_of)

        state = {
            name: of_groups(same) for name, same in _by_name([c.named_parameters() for c in used])
        }
        norms = {
            f"{name}.".lstrip("."): module
            for name, module in self._copies[0].named_modules()
            if isinstance(module, RoutedBatchNorm)
        }
        for name, same in _by_name([copy.named_buffers() for copy in used]):
            prefix, _, last = name.rpartition(".")
            norm = norms.get(f"{prefix}." if prefix else "")
            if norm is None or last not in norm._buffers:
                state[name] = of_groups(same)
            elif not norm.training:  # in training averages are moved later, by what is gathered
                by_slot = torch.stack(list(same))  # (calls, ...) or, by task, (calls, tasks, ...)
                state[name] = (
                    by_slot[route.call_of, plan.rows(route.level_out).tasks]
                    if norm.mode == "task"
                    else by_slot[route.call_of]
                )
        return state


@contextmanager
def _refusals(unit: int, called: nn.Module) -> Iterator[None]:
    """Refuse a weight that ``torch.vmap`` cannot run in the block."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if isinstance(error, RouteError):
            raise
        reason = " ".join(str(error).split())
        raise MtlError(
            f"batched_weights: the weights of unit {unit} ({type(called).__name__}) cannot run in "
            f"one call ({reason}); set it to false"
        ) from error


def _by_name(copies: Sequence[Any]) -> list[tuple[str, list[Tensor]]]:
    """Return tensors of the same name, in the order of the copies."""
    named: list[Mapping[str, Tensor]] = [dict(tensors) for tensors in copies]
    return [(name, [own[name] for own in named]) for name in named[0]]


def _of_groups(x: Tensor, route: Route, plan: RoutePlan) -> Tensor:
    """Give every group behind a unit the rows that it reads: (groups, rows, ...), group-major.

    Where rows are example-major it is (examples, groups, rows of an example, ...).
    """
    layout = RowLayout(plan.examples, route.groups_in, plan.group_major)
    x = torch.unflatten(x, 0, (layout.groups, -1)) if plan.group_major else layout.split_first(x)
    if route.reads_in_order and route.writes_in_order:
        return x  # every group goes on alone, in its place
    return x.index_select(0 if plan.group_major else 1, route.source)


def batchable_attention(device: torch.device) -> AbstractContextManager[object]:
    """While entered, attention on a CPU is matrix products; its fused kernel cannot be batched."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


_CONVOLUTIONS = frozenset({
    F.conv1d, F.conv2d, F.conv3d,
    F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
})  # fmt: skip


class _CastConvolutions(TorchFunctionMode):
    """While entered, convolutions run in a given precision; ``torch.vmap`` hides autocast's."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS:
            args = [self._cast(value) for value in args]
            kwargs = {name: self._cast(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _cast(self, value: Any) -> Any:
        return value.to(self._dtype) if isinstance(value, Tensor) else value


def _autocast_convolutions(device: torch.device) -> AbstractContextManager[object]:
    """While entered, convolutions are in the precision of autocast, where that is on."""
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return _CastConvolutions(torch.get_autocast_dtype(device.type))
