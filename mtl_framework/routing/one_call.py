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

from ..support.errors import MtlError, message_of
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
            _batchable(device),
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
        averages = {
            name: norm
            for name, _ in self._copies[0].named_buffers()
            if isinstance(norm := _owner(self._copies[0], name), RoutedBatchNorm)
        }
        # in training they are moved later, by what is gathered
        unread = {name for name, norm in averages.items() if norm.training}
        by_call = stacked([
            {
                **dict(copy.named_parameters()),
                **{name: x for name, x in copy.named_buffers() if name not in unread},
            }
            for copy in used
        ])  # fmt: skip
        one_each = len(used) == route.groups_out and route.writes_in_order
        state = {}
        for name, values in by_call.items():
            if name in averages and averages[name].mode == "task":  # (calls, tasks, ...)
                state[name] = values[route.call_of, plan.rows(route.level_out).tasks]
            else:
                state[name] = values if one_each else values.index_select(0, route.call_of)
        return state


def _owner(module: nn.Module, name: str) -> nn.Module:
    """Return the submodule that a parameter or buffer of this name belongs to."""
    return module.get_submodule(name.rpartition(".")[0])


def stacked(tensors: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack tensors of the same name: (mappings, ...) each."""
    return {name: torch.stack([own[name] for own in tensors]) for name in tensors[0]}


@contextmanager
def _refusals(unit: int, called: nn.Module) -> Iterator[None]:
    """Refuse a weight that ``torch.vmap`` cannot run in the block."""
    try:
        yield
    except (torch.OutOfMemoryError, RouteError):
        raise
    except RuntimeError as error:
        reason = message_of(error)
        raise MtlError(
            f"batched_weights: the weights of unit {unit} ({type(called).__name__}) cannot run in "
            f"one call ({reason}); set it to false"
        ) from error


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


class _Batchable(TorchFunctionMode):
    """While entered, calls are put so that ``torch.vmap`` batches them, without a loop.

    Of means over whole maps torch sets the strides anew, where maps lie channels-last, which no
    batched call can: they are plain means here.

    Args:
        dtype: the precision of convolutions, as ``torch.vmap`` hides autocast's; ``None``: as
            they are.
    """

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.adaptive_avg_pool2d:
            return _pooled(*args, **kwargs)
        if func in _CONVOLUTIONS and self._dtype is not None:
            args = [self._cast(value) for value in args]
            kwargs = {name: self._cast(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _cast(self, value: Any) -> Any:
        return value.to(self._dtype) if isinstance(value, Tensor) else value


def _pooled(input: Tensor, output_size: Any) -> Tensor:
    """Compute adaptive pooling, by the names of torch's arguments; 1x1 results are plain means."""
    if output_size in (1, (1, 1), [1, 1]):
        return input.mean((-2, -1), keepdim=True)
    return F.adaptive_avg_pool2d(input, output_size)


def _batchable(device: torch.device) -> AbstractContextManager[object]:
    """Put calls so that they can be batched, convolutions in the precision of autocast."""
    on = torch.is_autocast_enabled(device.type)
    return _Batchable(torch.get_autocast_dtype(device.type) if on else None)
