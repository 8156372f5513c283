"""Running averages move once a step, by what all calls of all parts of the step gathered."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..support.distributed import all_reduce_max, all_reduce_sum, is_distributed
from .norms import Gathered, RoutedBatchNorm
from .statistics_schedule import Ints

Taken = tuple[Tensor, Ints]
"""What a layer gathered: (2, slots, channels) of mean and variance, and visits (slots,)."""


@torch.no_grad()
def commit_statistics(norms: Sequence[RoutedBatchNorm]) -> None:
    """Decay running averages once and add what a step gathered, by few calls for all layers.

    Args:
        norms: all routed norms of a model, in the same order in every process; most may have
            gathered nothing.
    """
    if is_distributed():
        _commit_mean([norm for norm in norms if norm.running_mean is not None])
        return
    alike: dict[tuple[int, torch.dtype], list[tuple[RoutedBatchNorm, Taken]]] = {}
    for norm in norms:
        taken = norm.take_gathered()
        if taken is None or norm.running_mean is None:
            continue
        part, counts = taken
        if norm.momentum is None:
            counted = torch.as_tensor(counts, device=part.device)
            norm.add(Gathered(part, _decay(norm, counted, part), counted))
        else:
            alike.setdefault((norm.slots, part.dtype), []).append((norm, taken))
    for gathered in alike.values():
        _move(gathered)


def _move(gathered: Sequence[tuple[RoutedBatchNorm, Taken]]) -> None:
    """Move averages with a momentum together: layers with equally many slots, of one precision.

    All are decayed once by their own visits; a slot that nobody visited stays as it is.
    """
    averages: list[Tensor] = []
    parts: list[Tensor] = []
    counters: list[Tensor] = []
    slots = gathered[0][0].slots
    visits = np.stack([counts for _, (_, counts) in gathered])  # (layers, slots)
    device = gathered[0][1][0].device
    counted = torch.from_numpy(visits).to(device, non_blocking=True)
    numbers: list[Tensor] = []
    for (norm, (part, _)), own in zip(gathered, counted, strict=True):
        both = norm.running_mean, norm.running_var
        averages += [average.view(slots, -1) for average in both if average is not None]
        parts += [*part]
        if norm.num_batches_tracked is not None:
            counters.append(norm.num_batches_tracked.view(slots))
            numbers.append(own)
    left = np.array([1 - (norm.momentum or 0) for norm, _ in gathered])[:, None] ** visits
    decays = left.repeat(2, 0)  # of the mean and of the variance
    if slots == 1:
        torch._foreach_mul_(averages, decays[:, 0].tolist())
    else:
        factors = torch.from_numpy(decays).to(parts[0].dtype).to(device, non_blocking=True)
        torch._foreach_mul_(averages, list(factors[:, :, None]))
    torch._foreach_add_(averages, parts)
    if counters:
        torch._foreach_add_(counters, numbers)


def _decay(norm: RoutedBatchNorm, visits: Tensor, like: Tensor) -> Tensor:
    momentum = 0.0 if norm.momentum is None else norm.momentum
    return (1 - momentum) ** visits.to(like.dtype)


def _commit_mean(norms: Sequence[RoutedBatchNorm]) -> None:
    """Commit the mean over the processes; each slot's is over those that visited it.

    Where labels are missing, processes have visited different layers, and the same ones a different
    number of times. They agree on the largest number of visits of every slot first; what nobody
    visited is left alone. Running averages become the mean of those that the processes which
    visited them would have alone; cumulative averages that over all their visits.
    """
    if not norms:
        return
    taken = [norm.take_gathered() for norm in norms]
    device = norms[0].running_mean.device  # type: ignore[union-attr]
    own = [
        torch.zeros(norm.slots, dtype=torch.int64)
        if own_taken is None
        else torch.as_tensor(own_taken[1])
        for norm, own_taken in zip(norms, taken, strict=True)
    ]
    slots = [norm.slots for norm in norms]
    visits = torch.split(all_reduce_max(torch.cat(own).to(device)), slots)
    visited = [bool(count) for count in torch.stack([v.max() for v in visits]).tolist()]
    packed = [
        _pack(norm, own_taken, counts.to(device))
        for norm, own_taken, counts, used in zip(norms, taken, own, visited, strict=True)
        if used
    ]
    if not packed:
        return
    sums = all_reduce_sum(torch.cat([part.reshape(-1) for part in packed]))
    parts = iter(torch.split(sums, [part.numel() for part in packed]))
    for norm, most, used in zip(norms, visits, visited, strict=True):
        if not used:
            continue
        weight, decay, *both = next(parts).view(2 + 2 * norm.num_features, norm.slots)
        part = torch.stack(both).view(2, norm.num_features, norm.slots).transpose(1, 2)
        share = torch.where(weight > 0, weight, 1)
        # a cumulative average weighs processes by their visits, and needs sums over visits again:
        # of 2 and 1 visits share is 3 and most 2, so two thirds of the sum of three values remain
        times = most.to(share.dtype) if norm.momentum is None else torch.ones_like(share)
        part = part * (times / share)[:, None]
        norm.add(Gathered(part, torch.where(weight > 0, decay / share, 1), most))


def _pack(norm: RoutedBatchNorm, taken: Taken | None, visits: Tensor) -> Tensor:
    """Return weight, decay and parts (2 + 2 * channels, slots) of one process; 0 if it has none."""
    assert norm.running_mean is not None
    if taken is None:
        return norm.running_mean.new_zeros(2 + 2 * norm.num_features, norm.slots)
    part = taken[0]
    has = (visits > 0).to(part.dtype)
    weight = visits.to(part.dtype) if norm.momentum is None else has
    decay = _decay(norm, visits, part) * has
    return torch.cat([weight[None], decay[None], part.transpose(1, 2).reshape(-1, norm.slots)])
