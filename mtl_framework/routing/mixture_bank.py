"""A mixture bank runs all its copies; its weights are mixtures of what they return."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from .banks import Ports, WeightBank
from .forward_pass import ForwardPass
from .layout import RowLayout, channels_last, merge_groups
from .norms import RoutedBatchNorm
from .one_call import batchable_attention, stacked
from .plan import Call, Route, RouteError

Shares = Callable[[], Float[Tensor, "mixtures layers"]]


class MixtureBank(WeightBank):
    """All copies, here called layers, run on all rows; a path goes on with a mixture of them.

    An assignment says which mixture a task uses: routes, rows and running averages are those of a
    bank whose weights are the mixtures, but that each layer sees the rows as they come in.

    Args:
        layers: modules of one architecture.
        unit: number of the unit that the place belongs to.
        ports: what the probe saw at the one call of the place: one tensor out, a row an example.
        forward_pass: the pass that the bank takes part in.
        shares: a function that gives how much of each layer every mixture has.
        key: numbers that are equal for banks whose layers have the same parameters.
        batched: whether all layers run in one call, under ``torch.vmap``; else, and always in
            reduced precision, they run one after the other.
        dropout: share of the values of every layer's results that are left out in training.
        checkpoint: whether activations are recomputed in the backward pass; layers then run one
            after the other.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        unit: int,
        ports: Sequence[Ports],
        forward_pass: ForwardPass,
        *,
        shares: Shares,
        key: tuple[int, ...],
        batched: bool = True,
        dropout: float = 0.0,
        checkpoint: bool = False,
    ) -> None:
        super().__init__(layers, unit, ports, forward_pass, checkpoint)
        self._shares, self._key, self._dropout = shares, key, dropout
        self._batched = batched and not checkpoint
        if self._batched:
            by_name = zip(*(layer.named_modules() for layer in layers), strict=True)
            for same in by_name:
                if isinstance(same[0][1], RoutedBatchNorm):
                    same[0][1].stands_for = tuple(norm for _, norm in same)

    def parameters_of(self, weight: int) -> list[nn.Parameter]:
        """Return the parameters of all layers, which every mixture uses."""
        return list(self.copies.parameters())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run all layers on the rows, then mix what they return, path by path."""
        forward_pass = self.forward_pass
        route, plan = forward_pass.route(self.unit), forward_pass.plan
        assert plan is not None
        ports = self._ports()
        leaves = pytree.tree_leaves((args, kwargs))
        self._check_rows("got", leaves, ports.inputs, plan.examples * route.groups_in)
        device = next(self.copies[0].parameters()).device.type
        batched = self._batched and not torch.is_autocast_enabled(device)
        run = self._in_one_call if batched else self._one_by_one
        returned = run(args, kwargs)
        if returned.shape[1] != plan.examples * route.groups_in:
            raise RouteError(f"unit {self.unit} returned {returned.shape[1]} rows")
        # own masks for every layer
        returned = F.dropout(returned, self._dropout, self.training and self._dropout > 0)
        last = any(isinstance(leaf, Tensor) and channels_last(leaf) for leaf in leaves)
        mixed = mixed_rows(
            returned,
            self._shares().to(returned.dtype),
            route,
            RowLayout(plan.examples, route.groups_in, plan.group_major),
        )
        if last and mixed.ndim == 4:
            mixed = mixed.contiguous(memory_format=torch.channels_last)
        forward_pass.passed(route)
        return self._followed(mixed)

    def _one_by_one(self, args: Any, kwargs: Any) -> Shaped[Tensor, "layers rows *dims"]:
        rows = self.forward_pass.rows
        assert rows is not None
        none = torch.empty(0, dtype=torch.int64)
        calls = [Call(number, none, none, rows) for number in range(len(self.copies))]
        return torch.stack([self._call(call, args, kwargs) for call in calls])

    def _in_one_call(self, args: Any, kwargs: Any) -> Shaped[Tensor, "layers rows *dims"]:
        """Run all layers in one call: they read the same rows, so that only weights are stacked.

        Convolutions of equal images become one with more channels, matrix products become a batch.
        """
        first = self.copies[0]
        kept = self.forward_pass.stacked
        if self._key not in kept:  # banks further down have the same parameters
            kept[self._key] = stacked([dict(layer.named_parameters()) for layer in self.copies])
        buffers = stacked([dict(layer.named_buffers()) for layer in self.copies])

        def run(parameters: dict[str, Tensor], state: dict[str, Tensor]) -> Any:
            return functional_call(first, (parameters, state), args, kwargs)

        with batchable_attention(next(first.parameters()).device):
            returned: Tensor = torch.vmap(run, randomness="different")(kept[self._key], buffers)
        return returned


def mixed_rows(
    returned: Shaped[Tensor, "layers rows *dims"],
    shares: Float[Tensor, "mixtures layers"],
    route: Route,
    layout: RowLayout,
) -> Shaped[Tensor, "mixed *dims"]:
    """Mix what layers return, for every call of a route whose weights are mixtures.

    Args:
        returned: for each layer what it returned, rows in ``layout``.
        shares: how much of each layer is in each mixture.
        route: the route; its calls read groups of these rows, and write groups of the next level's.
        layout: layout of the rows that come in.
    """
    if layout.group_major:
        by_group = torch.unflatten(returned, 1, (layout.groups, -1))
    else:
        by_group = torch.unflatten(returned, 1, (-1, layout.groups)).transpose(1, 2)
    parts = []
    for call in route.calls:
        read = by_group[:, 0, None] if layout.groups == 1 else by_group.index_select(1, call.source)
        if layout.groups == 1 and len(call.source) > 1:
            read = read.expand(-1, len(call.source), *read.shape[2:])
        own = torch.einsum("k,k...->...", shares[call.weight], read)  # (groups, examples, ...)
        part = RowLayout(layout.examples, len(call.source), layout.group_major)
        parts.append((own if part.group_major else own.transpose(0, 1)).flatten(0, 1))
    out = RowLayout(layout.examples, route.groups_out, layout.group_major)
    targets = [call.target for call in route.calls]
    return merge_groups(parts, targets, out, route.writes_in_order)
