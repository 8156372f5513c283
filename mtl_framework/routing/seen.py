"""What the calls of a batch norm have seen is kept until the step moves running averages."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from .plan import Call, RowGroups
from .statistics_schedule import Ints
from .statistics_weights import LayerCall


@dataclass(frozen=True)
class Seen:
    """Statistics of one call are (2, groups, channels), mean and variance, with their rows."""

    statistics: Float[Tensor, "2 groups channels"]
    rows: RowGroups

    def part(
        self, momentum: float | None, rows: Sequence[RowGroups], number: int
    ) -> tuple[Float[Tensor, "2 slots channels"], Ints]:
        """Return what the call adds to the running averages, and their visits (slots,).

        Args:
            momentum: momentum of the layer.
            rows: the rows at each of the layer's calls in the pass.
            number: which of them this call is.
        """
        weights, visits = self.rows.coefficients(momentum, self.statistics.dtype, rows, number)
        return weights @ self.statistics, visits

    def again(self) -> "Seen":
        """Return what the call has seen, after its statistics have been written anew."""
        return self


@dataclass(frozen=True)
class SeenTogether:
    """Statistics of all calls of a route, whose weights ran in one call.

    What every call adds to the averages of its own weight comes from one product for all of them.

    Args:
        statistics: mean and variance, groups in the order of the next level.
        calls: the calls of the route.
    """

    statistics: Float[Tensor, "2 groups channels"]
    calls: tuple[Call, ...]
    _parts: dict[LayerCall, Tensor] = field(default_factory=dict)

    def parts(self, call: LayerCall) -> Float[Tensor, "2 calls slots channels"]:
        """Return what each of the calls adds, at one call of the layer."""
        if call not in self._parts:
            plan = self.calls[0].rows.plan
            weights = plan.statistics.by_call(call, self.statistics.dtype)
            order = torch.cat([one.target for one in self.calls])
            by_call = weights.flatten(0, 1) @ self.statistics.index_select(1, order)
            self._parts[call] = by_call.unflatten(1, weights.shape[:2])
        return self._parts[call]

    def forget_parts(self) -> None:
        """Leave out what was computed from statistics that have been written anew since."""
        self._parts.clear()


@dataclass(frozen=True)
class SeenByOne:
    """This is one call's share of what all calls of a route have seen together.

    Args:
        together: what all of them have seen.
        position: which of the calls it is.
    """

    together: SeenTogether
    position: int

    @property
    def rows(self) -> RowGroups:
        """Return the rows of the call."""
        return self.together.calls[self.position].rows

    def part(
        self, momentum: float | None, rows: Sequence[RowGroups], number: int
    ) -> tuple[Float[Tensor, "2 slots channels"], Ints]:
        """Return what the call adds, see :meth:`Seen.part`."""
        dtype = self.together.statistics.dtype
        _, visits = self.rows.coefficients(momentum, dtype, rows, number)
        parts = self.together.parts(self.rows.layer_call(momentum, rows, number))
        return parts[:, self.position], visits

    @property
    def statistics(self) -> Float[Tensor, "2 groups channels"]:
        """Return the statistics of all calls."""
        return self.together.statistics

    def again(self) -> "SeenByOne":
        """Return what the call has seen, after its statistics have been written anew."""
        self.together.forget_parts()
        return self
