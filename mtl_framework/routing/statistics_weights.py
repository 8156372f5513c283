"""This computes by how much each group of a pass enters running averages of its weight."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .path_trie import PathTrie
from .statistics_schedule import Floats, Ints, StepOrder, Visits, visit_shares


@dataclass(frozen=True)
class Columns:
    """The columns of a pass are (sample, task) pairs, sample-major: (C,) each."""

    sample: Ints
    task: Ints

    def numbers(self, order: StepOrder) -> Ints:
        """Return the positions of the columns among all of the step."""
        return self.sample * order.num_tasks + self.task


@dataclass(frozen=True)
class LayerCall:
    """A layer call is one of the calls of a layer within a pass.

    Args:
        unit: unit of the layer; ``None``: it is outside the banks.
        levels: level of the rows at each call of the layer within the pass.
        number: position, in the pass, of the call that is asked about.
        momentum: momentum of the layer.
    """

    unit: int | None
    levels: tuple[int, ...]
    number: int
    momentum: float | None

    @property
    def level(self) -> int:
        """Return the level of the rows at this call."""
        return self.levels[self.number]


class StatisticsWeights:
    """The weights of groups' statistics are worked out by call of a layer, when it first asks.

    Args:
        order: the step that the columns belong to.
        trie: the paths of the columns.
        columns: the columns of the pass.
        mixed: whether columns are mixed behind some unit.
        device: the device of the weights.
    """

    def __init__(
        self, order: StepOrder, trie: PathTrie, columns: Columns, mixed: bool, device: torch.device
    ) -> None:
        self.order, self.trie, self.columns = order, trie, columns
        self._mixed, self._device = mixed, device
        self._numbers = columns.numbers(order)
        self._known: dict[tuple[LayerCall, torch.dtype], tuple[Tensor, Ints]] = {}
        self._known_by_call: dict[tuple[LayerCall, torch.dtype], Tensor] = {}

    @property
    def is_pooled(self) -> bool:
        """Say whether a statistic is of all rows of a weight under a sample."""
        return self.order.mode == "pooled"

    def of(self, call: LayerCall, dtype: torch.dtype) -> tuple[Tensor, Ints]:
        """Return by how much each group enters a unit's running averages at one call of a layer.

        Returns:
            weights (slots, groups), groups in the order of the route's calls; visits (calls,
            slots).
        """
        key = call, dtype
        if key not in self._known:
            weights, visits = self._worked_out(call)
            entries = torch.from_numpy(weights).to(dtype)
            self._known[key] = entries.to(self._device, non_blocking=True), visits
        return self._known[key]

    def by_call(self, call: LayerCall, dtype: torch.dtype) -> Tensor:
        """Return the weights of :meth:`of` for all calls of the route at once.

        The result is (calls, slots, groups), groups in the order of the route's calls, and zero
        where a group is not of the call.
        """
        key = call, dtype
        if key not in self._known_by_call:
            weights, _ = self.of(call, dtype)
            order, starts = self.trie.calls(call.unit, call.level)
            calls = np.arange(len(starts) - 1)
            # calls 0, 0, 1 of three groups give (1, 1, 0) and (0, 0, 1)
            own = self.trie.call_of(call.unit, call.level)[order] == calls[:, None, None]
            mask = torch.from_numpy(own).to(self._device, non_blocking=True)
            self._known_by_call[key] = torch.where(mask, weights, 0)
        return self._known_by_call[key]

    def _worked_out(self, call: LayerCall) -> tuple[Floats, Ints]:
        group, task = self.trie.groups[call.level], self.columns.task
        order, starts = self.trie.calls(call.unit, call.level)
        slots, groups = self.order.num_slots, len(order)
        slot = task if slots > 1 else np.zeros_like(task)
        shares, total = self._shares(call)
        # what the columns of a group add, each to its slot: one entry for each (slot, group)
        weights = np.bincount(slot * groups + group, shares, slots * groups).reshape(slots, groups)
        call_of = self.trie.call_of(call.unit, call.level)
        visits = np.zeros((len(starts) - 1, slots), dtype=np.int64)
        visits[call_of[group], slot] = total
        return weights[:, order].astype(np.float64, copy=False), visits

    def by_sample(self, call: LayerCall, chosen: Ints) -> tuple[Floats, Ints]:
        """Return shares and visits (samples,) of the samples that have groups among ``chosen``.

        This is for pooled statistics, of which a sample has one.
        """
        sample = self.columns.sample
        inside = np.isin(self.trie.groups[call.level], chosen)
        if self._is_joint(call.level):
            inside &= sample == sample[0]
        first = np.unique(sample[inside], return_index=True)[1]
        shares, total = self._shares(call)
        return shares[inside][first], total[inside][first]

    def _shares(self, call: LayerCall) -> tuple[Floats, Ints]:
        """Compute each column's share (C,) of its weight's averages at one call, and all visits.

        A layer that is called several times in a pass is visited so often by every column before
        the next column comes. With two calls the visits of columns a and b are a1, a2, b1, b2:
        before b2 come those of a at both calls, and b1.
        """
        by_call = [self._visits(call.unit, level) for level in call.levels]
        before: Ints = np.sum([visits.before for visits in by_call], axis=0)
        total: Ints = np.sum([visits.total for visits in by_call], axis=0)
        for visits in by_call[: call.number]:
            before = before + visits.counted
        counted = by_call[call.number].counted
        return visit_shares(before, total, call.momentum) * counted, total

    def _visits(self, unit: int | None, level: int) -> Visits:
        """Return the visits of a unit's weights by the columns of the pass (C,)."""
        if self.order.counts_rows or not self._is_joint(level):
            return self.order.visits(unit, level).of(self._numbers)
        first = self.order.first_sample.visits(unit, level).of(self.columns.task)
        in_first = self.columns.sample == self.columns.sample[0]
        return replace(first, counted=first.counted & in_first)

    def _is_joint(self, level: int) -> bool:
        """Say whether columns that are mixed further down are still one, and visit a layer once."""
        samples = len(np.unique(self.columns.sample)) if self._mixed else 1
        groups = self.trie.groups[level].reshape(samples, -1)
        return self._mixed and bool((groups == groups[:1]).all())
