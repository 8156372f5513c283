"""Batch normalisation for rows of several paths.

Where rows are example-major, (B * G, C, ...) is also (B, G * C, ...): one batch-norm call gives
every path its own batch statistics. Where they are group-major, the rows of a path lie together and
are normalised group by group. What happens to the running averages depends on the mode, see
:class:`~mtl_framework.visits.StepOrder`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers.norm_act import (
    BatchNormAct2d,
    FrozenBatchNormAct2d,
    SyncBatchNormAct,
)
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from .context import RoutingContext
from .distributed import all_reduce_mean
from .errors import MtlError
from .layout import RowLayout
from .path_norm import path_batch_norm
from .routing import RouteError, RowGroups
from .visits import Normalization

BATCH_NORMS: tuple[type[nn.Module], ...] = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    BatchNormAct2d,
    SyncBatchNormAct,
)
"""Classes that are replaced by :class:`RoutedBatchNorm`, matched exactly, not by inheritance."""

FIXED_NORMS: tuple[type[nn.Module], ...] = (FrozenBatchNorm2d, FrozenBatchNormAct2d)
"""Classes whose running statistics never change: they treat every row alike."""


@dataclass
class _Gathered:
    """What the finished parts of a step add to the running averages.

    With a momentum these are the final terms; in a cumulative average, sums over the visits.
    """

    decay: Float[Tensor, " slots"]
    visits: Tensor
    mean: Float[Tensor, "slots channels"]
    var: Float[Tensor, "slots channels"]


class RoutedBatchNorm(nn.Module):
    """Batch normalisation that knows which rows belong to one path.

    Takes over parameters, buffers, activation and dropout of a plain batch-norm layer under their
    own names, so that state dicts keep their keys. In mode ``task`` the buffers get a leading
    dimension of tasks: ``running_mean`` (T, C), ``num_batches_tracked`` (T,).

    Args:
        plain: a layer of one of :data:`BATCH_NORMS`.
        context: the pass that the layer takes part in.
        mode: normalisation mode.
        num_tasks: T.

    ``momentum`` may be ``None``, as in torch: running averages are then plain averages over all
    visits so far.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, plain: nn.Module, context: RoutingContext, mode: Normalization, num_tasks: int
    ) -> None:
        super().__init__()
        assert isinstance(plain, nn.modules.batchnorm._BatchNorm)
        self.num_features = plain.num_features
        self.eps = plain.eps
        self.momentum = None if plain.momentum is None else float(plain.momentum)
        self.mode: Normalization = mode
        self.slots = num_tasks if mode == "task" else 1
        self.context = context
        self.weight, self.bias = plain.weight, plain.bias
        tracked = ("running_mean", "running_var", "num_batches_tracked")
        for name in tracked:
            value = getattr(plain, name)
            if value is not None and mode == "task":
                value = value.expand(num_tasks, *value.shape).clone()
            self.register_buffer(name, value)
        for name, child in plain.named_children():  # timm's drop and act
            self.add_module(name, child)
        self.train(plain.training)
        self._gathered: _Gathered | None = None

    def extra_repr(self) -> str:
        """Features and mode, as torch prints its own layers."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, mode={self.mode}"

    def forward(
        self, x: Float[Tensor, "rows channels *dims"]
    ) -> Float[Tensor, "rows channels *dims"]:
        """Normalise each path (pooled: each sample) by its own batch, or by running averages."""
        rows = self.context.rows
        if rows is None:
            raise RouteError("a routed batch norm was called outside a pass of its networks")
        if not self.training and self.running_mean is not None:
            y = self._by_running_averages(x, rows)
        elif self.mode == "pooled":
            y = self._by_sample(x, rows)
        else:
            y = self._by_path(x, rows)
        for child in self.children():
            y = child(y)
        return y

    def _by_running_averages(self, x: Tensor, rows: RowGroups) -> Tensor:
        mean, var = self.running_mean, self.running_var
        assert mean is not None
        assert var is not None
        if self.mode != "task":
            return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        scale = (var + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        layout = self._layout(x, rows)
        view = layout.split_first(x)  # (B, G, n, C, ...)
        ones = [1] * (x.ndim - 2)
        scale, shift = (v[rows.tasks].view(layout.groups, 1, -1, *ones) for v in (scale, shift))
        return layout.join_first(torch.addcmul(shift, view, scale)).to(x.dtype)

    def _layout(self, x: Tensor, rows: RowGroups) -> RowLayout:
        examples, groups = rows.marker.shape[:2]
        if x.shape[0] % (examples * groups):
            raise RouteError(f"{x.shape[0]} rows do not hold {groups} paths of {examples} examples")
        return RowLayout(examples, groups, rows.group_major)

    def _by_path(self, x: Tensor, rows: RowGroups) -> Tensor:
        layout = self._layout(x, rows)
        groups = layout.groups
        if groups > 1 and rows.group_major:
            mean, var = self._statistic(x, groups), self._statistic(x, groups)
            y = path_batch_norm(x, self.weight, self.bias, mean, var, self.eps)
        else:
            mean, var = self._statistic(x, groups), self._statistic(x, groups)
            view, inner = self._channels_by_path(x, layout)
            weight: Tensor | None = self.weight
            bias: Tensor | None = self.bias
            if groups > 1 and weight is not None and bias is not None:
                weight, bias = weight.repeat(groups), bias.repeat(groups)
            # a momentum of one makes batch_norm hand out this batch's own statistics
            y = F.batch_norm(view, mean.view(-1), var.view(-1), weight, bias, True, 1.0, self.eps)
            y = self._rows_by_path(y, x, layout, inner)
        if self.running_mean is not None and self.context.gather_statistics:
            self._gather(mean, var, rows)
        return y

    def _channels_by_path(self, x: Tensor, layout: RowLayout) -> tuple[Tensor, int]:
        """View (B, G * C, ...) of example-major rows, and how many rows an example has inside."""
        inner = x.shape[0] // (layout.examples * layout.groups)
        if layout.groups == 1:
            return x, 1
        if inner == 1:
            return x.reshape(layout.examples, -1, *x.shape[2:]), 1
        x = x.reshape(layout.examples, layout.groups, inner, x.shape[1], -1).transpose(2, 3)
        return x.reshape(layout.examples, -1, inner, x.shape[4]), inner

    def _rows_by_path(self, y: Tensor, x: Tensor, layout: RowLayout, inner: int) -> Tensor:
        if layout.groups == 1:
            return y
        if inner == 1:
            # no view in autograd's eyes: an activation in place would make its gradient a copy
            return torch.ops.aten._unsafe_view(y, x.shape)
        y = y.reshape(layout.examples, layout.groups, x.shape[1], inner, -1).transpose(2, 3)
        return y.reshape(x.shape)

    def _statistic(self, x: Tensor, groups: int) -> Tensor:
        like = x if self.running_mean is None else self.running_mean
        return like.new_zeros(groups, self.num_features)

    def _by_sample(self, x: Tensor, rows: RowGroups) -> Tensor:
        """One statistic over all rows of this weight under one sample."""
        layout = self._layout(x, rows)
        view = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        view = (
            layout.split_first(view).flatten(4)
            if x.ndim > 2
            else layout.split_first(view)[..., None]
        )
        # a row of a common input counts once for every task that reads it
        share = rows.multiplicity.to(view.dtype)
        total = share.new_zeros(rows.num_segments).index_add(0, rows.segments, share)
        share = share / total[rows.segments]

        def pool(values: Tensor) -> Tensor:
            by_group = values.mean((0, 2, 4)) * share[:, None]  # (G, C)
            zeros = by_group.new_zeros(len(total), self.num_features)
            return zeros.index_add(0, rows.segments, by_group)

        mean = pool(view)
        centred = view - mean[rows.segments][:, None, :, None]
        var = pool(centred.square())
        scale = (var + self.eps).rsqrt()[rows.segments]
        if self.weight is not None:
            scale = scale * self.weight
        y = centred * scale[:, None, :, None]
        if self.bias is not None:
            y = y + self.bias[:, None]
        if self.running_mean is not None and self.context.gather_statistics:
            count = total[:, None] * (layout.examples * view.shape[2] * view.shape[4])
            self._gather(mean.detach(), var.detach() * count / (count - 1), rows)
        return layout.join_first(y).reshape(x.shape).to(x.dtype)

    @torch.no_grad()
    def _gather(self, mean: Tensor, var: Tensor, rows: RowGroups) -> None:
        weights, decay, visits = rows.coefficients(self.momentum)
        mean, var = weights @ mean.to(weights.dtype), weights @ var.to(weights.dtype)
        before = self._gathered
        if before is None:
            self._gathered = _Gathered(decay, visits, mean, var)
            self.context.gathered[self] = None
        else:
            # a part that does not hold a task's columns has decay 1 and 0 visits for it
            self._gathered = _Gathered(
                torch.minimum(before.decay, decay),
                torch.maximum(before.visits, visits),
                before.mean + mean,
                before.var + var,
            )

    @torch.no_grad()
    def commit(self) -> None:
        """Decay the running averages once and add what the step gathered."""
        found, self._gathered = self._gathered, None
        if found is None or self.running_mean is None or self.running_var is None:
            return
        for average, part in ((self.running_mean, found.mean), (self.running_var, found.var)):
            part = all_reduce_mean(part)
            old = average.view(self.slots, -1).to(part.dtype)
            if self.momentum is None:
                assert self.num_batches_tracked is not None
                before = self.num_batches_tracked.view(self.slots, 1)
                # a slot without visits keeps what it has
                total = (before + found.visits[:, None]).clamp(min=1).to(part.dtype)
                kept = torch.where(found.visits[:, None] > 0, before / total, 1.0)
                new = old * kept.to(part.dtype) + part / total
            else:
                new = old * found.decay[:, None] + part
            average.copy_(new.view_as(average))
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(found.visits.view_as(self.num_batches_tracked))

    def discard(self) -> None:
        """Forget what an unfinished step gathered."""
        self._gathered = None

    def plain_buffer(self, name: str, task: int) -> Tensor:
        """A buffer as the plain layer of one task has it."""
        value: Tensor = getattr(self, name)
        return value[task] if self.mode == "task" else value


def route_norms(
    module: nn.Module,
    context: RoutingContext,
    mode: Normalization,
    num_tasks: int,
    done: dict[nn.Module, nn.Module] | None = None,
) -> nn.Module:
    """Replace every batch norm in ``module``, itself included, and return the result.

    ``done`` maps the layers replaced so far, so that a tied layer stays one layer.

    Raises:
        MtlError: if another kind of layer keeps running statistics, naming it.
    """
    done = {} if done is None else done
    if type(module) in BATCH_NORMS:
        if module not in done:
            done[module] = RoutedBatchNorm(module, context, mode, num_tasks)
        return done[module]
    if isinstance(module, (RoutedBatchNorm, *FIXED_NORMS)):
        return module
    keeps = [name for name, _ in module.named_buffers(recurse=False) if "running_" in name]
    if keeps:
        raise MtlError(
            f"layer {type(module).__name__} keeps running statistics ({', '.join(keeps)}) in a way "
            f"that cannot be routed; known are {', '.join(c.__name__ for c in BATCH_NORMS)}"
        )
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = route_norms(child, context, mode, num_tasks, done)
    return module
