"""Batch norms normalise rows of several paths.

Where rows are example-major, (B * G, C, ...) is also (B, G * C, ...): one batch-norm call gives
every path its own batch statistics. Where they are group-major, the rows of a path lie together and
are normalised group by group. What happens to the running averages depends on the mode, see
:class:`~mtl_framework.routing.statistics_schedule.StepOrder`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..support.errors import MtlError
from .batched import all_of, each_of, is_batched
from .batched_norm import normalised_by_group
from .cpu.path_norm import path_batch_norm
from .cpu.pooled_norm import Pooling, keeps_order, pooled_path_norm
from .forward_pass import ForwardPass, Together
from .layout import RowLayout, channels_by_group, rows_by_group
from .plan import RouteError, RoutePlan, RowGroups
from .seen import Seen, SeenByOne, SeenTogether
from .statistics_schedule import Ints, Normalization


@dataclass(frozen=True)
class Gathered:
    """This is what a step adds to the running averages of a layer, slot by slot.

    Args:
        part: (2, slots, channels), of mean and variance: the final terms where there is a momentum,
            in a cumulative average the sums over the visits.
        decay: (slots,), factors by which the averages are multiplied first, where there is a
            momentum.
        visits: (slots,), number of visits.
    """

    part: Float[Tensor, "2 slots channels"]
    decay: Float[Tensor, " slots"]
    visits: Int64[Tensor, " slots"]


class RoutedBatchNorm(nn.Module):
    """A routed batch norm knows which rows belong to one path.

    It takes over parameters, buffers, activation and dropout of a plain batch-norm layer under
    their own names, so that state dicts keep their keys. In mode ``task`` the buffers get a leading
    dimension of tasks: ``running_mean`` (T, C), ``num_batches_tracked`` (T,).

    Args:
        plain: the plain layer, see :data:`~mtl_framework.routing.replace_norms.BATCH_NORMS`.
        forward_pass: the pass that the layer takes part in.
        mode: normalisation mode.
        num_tasks: T.

    ``momentum`` may be ``None``, as in torch: running averages are then plain averages over all
    visits so far.

    Attributes:
        pooling: activation and max-pooling that the layer has taken over from those behind it,
            see :func:`~mtl_framework.routing.cpu.take_over.take_over_poolings`.
        stands_for: the layers that get what this one gathers under ``torch.vmap`` over them.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, plain: nn.Module, forward_pass: ForwardPass, mode: Normalization, num_tasks: int
    ) -> None:
        super().__init__()
        assert isinstance(plain, nn.modules.batchnorm._BatchNorm)
        self.num_features = plain.num_features
        self.eps = plain.eps
        self.momentum = None if plain.momentum is None else float(plain.momentum)
        self.mode: Normalization = mode
        self.slots = num_tasks if mode == "task" else 1
        self.forward_pass = forward_pass
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
        self.pooling: Pooling | None = None
        self.stands_for: tuple[RoutedBatchNorm, ...] = (self,)
        self._kind: type[nn.Module] = type(plain)
        self._seen: list[Seen | SeenByOne] = []

    def extra_repr(self) -> str:
        """Show features and mode in ``repr``, as torch prints its own layers."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, mode={self.mode}"

    def forward(
        self, x: Float[Tensor, "rows channels *dims"]
    ) -> Float[Tensor, "rows channels ..."]:
        """Normalise each path (pooled: each sample) by its own batch, or by running averages.

        With ``pooling`` what comes out is smaller than ``x``.
        """
        rows, pooling = self.forward_pass.rows, self.pooling
        if rows is None:
            raise RouteError("a routed batch norm was called outside a pass of its networks")
        if self.forward_pass.together is not None:
            y = self._together(x, self.forward_pass.together)
            return self._behind(y, pooling)
        batched = self._is_batched(x)
        if self.training or self.running_mean is None:
            self._check_values(x, rows)
        # pool, then normalise
        first = pooling is not None and not batched and keeps_order(x, self.weight)
        if not self.training and self.running_mean is not None:
            if pooling is not None and first:
                return pooling.activate(self._by_running_averages(pooling.pool(x), rows))
            y = self._by_running_averages(x, rows)
        elif self.mode == "pooled":
            y = self._by_sample(x, rows)
        elif first and rows.group_major:
            return self._by_path(x, rows, pooling)
        else:
            y = self._by_path(x, rows)
        return self._behind(y, pooling)

    def _behind(self, y: Tensor, pooling: Pooling | None) -> Tensor:
        """Compute what comes behind the norm itself."""
        for child in self.children():
            y = child(y)
        return y if pooling is None else pooling.activate(pooling.pool(y))

    def _together(self, x: Tensor, together: Together) -> Tensor:
        """Normalise one group of rows, which stands for all groups of a route.

        Running averages are those of the group's own weight and task.
        """
        mean, var, affine = self.running_mean, self.running_var, (self.weight, self.bias)
        # batched kernels take one precision only
        values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        if not self.training and mean is not None:
            return F.batch_norm(values, mean, var, *affine, False, 0.0, self.eps).to(x.dtype)
        if x.numel() == self.num_features:
            raise self._one_value()
        # a momentum of one makes batch_norm hand out this batch's own statistics
        own = values.new_zeros(self.num_features), values.new_zeros(self.num_features)
        y = F.batch_norm(values, *own, *affine, True, 1.0, self.eps).to(x.dtype)
        if mean is not None and self.forward_pass.gather_statistics:
            seen = SeenTogether(torch.stack([all_of(each) for each in own]), together.calls)
            for number, norm in enumerate(together.modules[id(self)]):
                assert isinstance(norm, RoutedBatchNorm)
                norm._seen.append(SeenByOne(seen, number))
        return y

    def _is_batched(self, x: Tensor) -> bool:
        """Say whether a call under ``torch.vmap`` stands for several layers."""
        return any(is_batched(tensor) for tensor in (x, self.weight, self.running_mean))

    def _check_values(self, x: Tensor, rows: RowGroups) -> None:
        """Refuse a statistic of one value, whose variance is not defined."""
        groups = rows.marker.shape[1]
        if x.numel() * rows.fewest == self.num_features * groups:
            raise self._one_value()

    def _one_value(self) -> MtlError:
        return MtlError(
            f"a batch norm of {self.num_features} channels got one value per channel in "
            "training (one example a task, and a 1x1 map), whose variance is not defined; "
            "set batch_size to at least 2, or use larger images"
        )

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

    def _by_path(self, x: Tensor, rows: RowGroups, pooling: Pooling | None = None) -> Tensor:
        layout = self._layout(x, rows)
        if self._is_batched(x):
            y, statistics = normalised_by_group(x, layout, self.weight, self.bias, self.eps)
            if self.running_mean is not None and self.forward_pass.gather_statistics:
                self._gather(statistics, rows)
            return y
        groups = layout.groups
        like = x if self.running_mean is None else self.running_mean
        statistics = like.new_zeros(2, groups, self.num_features)
        mean, var = statistics
        if pooling is not None:
            assert self.weight is not None
            assert self.bias is not None
            y = pooled_path_norm(x, self.weight, self.bias, mean, var, self.eps, pooling)
        elif groups > 1 and rows.group_major:
            y = path_batch_norm(x, self.weight, self.bias, mean, var, self.eps)
        else:
            view, inner = channels_by_group(x, layout)
            weight: Tensor | None = self.weight
            bias: Tensor | None = self.bias
            if groups > 1 and weight is not None and bias is not None:
                weight, bias = weight.repeat(groups), bias.repeat(groups)
            # a momentum of one makes batch_norm hand out this batch's own statistics
            y = F.batch_norm(view, mean.view(-1), var.view(-1), weight, bias, True, 1.0, self.eps)
            y = rows_by_group(y, x, layout, inner)
        if self.running_mean is not None and self.forward_pass.gather_statistics:
            self._gather(statistics, rows)
        return y

    def _by_sample(self, x: Tensor, rows: RowGroups) -> Tensor:
        """Compute one statistic over all rows of this weight under one sample."""
        layout = self._layout(x, rows)
        view = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        view = (
            layout.split_first(view).flatten(4)
            if x.ndim > 2
            else layout.split_first(view)[..., None]
        )
        # a row counts once a column: of samples 0, 0, 1 with 2, 1, 3 columns, 2/3, 1/3 and 1
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
        if self.running_mean is not None and self.forward_pass.gather_statistics:
            with torch.no_grad():  # a call that is repeated in the backward pass leaves this out
                count = total[:, None] * (layout.examples * view.shape[2] * view.shape[4])
                unbiased = var.detach() * count / (count - 1)
                both = torch.stack([mean.detach(), unbiased])
                self._gather(both.to(self.running_mean.dtype), rows)
        return layout.join_first(y).reshape(x.shape).to(x.dtype)

    def _gather(self, statistics: Float[Tensor, "2 groups channels"], rows: RowGroups) -> None:
        norms = self.stands_for if self._is_batched(statistics) else (self,)
        for norm, own in zip(norms, each_of(statistics, len(norms)), strict=True):
            norm._seen.append(Seen(own, rows))

    def take_gathered(self) -> tuple[Float[Tensor, "2 slots channels"], Ints] | None:
        """Take what the calls of a step add to the running averages, and their visits."""
        if not self._seen:
            return None
        seen, self._seen = self._seen, []
        passes: dict[RoutePlan, list[Seen | SeenByOne]] = {}
        for call in seen:
            passes.setdefault(call.rows.plan, []).append(call)
        parts, counts = [], []
        for calls in passes.values():
            rows = [call.rows for call in calls]
            for number, call in enumerate(calls):
                part, visits = call.part(self.momentum, rows, number)
                parts.append(part)
                counts.append(visits)
        part = parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
        # a part that does not hold a task's columns has no visit of its slot
        return part, counts[0] if len(counts) == 1 else np.max(counts, axis=0)

    @property
    def seen(self) -> tuple[Seen | SeenByOne, ...]:
        """Return what the calls since the last step saw."""
        return tuple(self._seen)

    def see_again(self, seen: Sequence[Seen | SeenByOne]) -> None:
        """Let the calls since the last step be those of an earlier one, with what is there now."""
        self._seen = [each.again() for each in seen]

    def forget_gathered(self) -> None:
        """Leave out what the calls since the last step saw."""
        self._seen = []

    def add(self, gathered: Gathered) -> None:
        """Move the running averages on by what a step gathered, slot by slot."""
        part, decay, counts = gathered.part, gathered.decay[:, None], gathered.visits[:, None]
        assert self.running_mean is not None
        assert self.running_var is not None
        tracked = self.num_batches_tracked
        for average, new in zip((self.running_mean, self.running_var), part, strict=True):
            old = average.view(self.slots, -1)
            if self.momentum is None:
                assert tracked is not None
                before = tracked.view(self.slots, 1)
                total = (before + counts).clamp(min=1).to(new.dtype)
                # a slot without visits keeps what it has
                new = torch.where(counts > 0, (old * before + new) / total, old)
            else:
                new = old * decay + new
            average.copy_(new.view_as(average))
        if tracked is not None:
            tracked.add_(counts.view_as(tracked))

    def plain(self, task: int) -> nn.Module:
        """Make a plain layer of the class that was taken over, as one task has it, on the CPU."""
        affine, tracked = self.weight is not None, self.running_mean is not None
        layer = self._kind(self.num_features, self.eps, self.momentum, affine, tracked)
        for name, child in self.named_children():
            layer.add_module(name, copy.deepcopy(child))
        state: dict[str, Tensor] = dict(self.named_parameters())
        state |= {name: self.plain_buffer(name, task) for name, _ in self.named_buffers()}
        for value in state.values():
            if value.is_floating_point():
                layer.to(value.dtype)
        layer.load_state_dict(state)
        return layer

    def plain_buffer(self, name: str, task: int) -> Tensor:
        """Return a buffer as the plain layer of one task has it."""
        value: Tensor = getattr(self, name)
        return value[task] if self.mode == "task" else value
