"""The search ends by a schedule for its rate, then by the distribution frozen at its mode.

With the paper's constant rate a run may end undecided, and the network that is deployed has never
been trained alone. Delayed commitment and a lower rate for the router at first are also what
routing networks need (Rosenbaum et al., arXiv 1904.12774).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from mtl_framework import SearchDistribution

Schedule = Literal["constant", "rise", "fall"]


class Hardening:
    """Hardening says how fast the search moves now, and ends it.

    Args:
        schedule: schedule of the rate over the part of the run in which the search moves:
            ``constant``; ``rise`` from 0 to twice the rate; ``fall`` from twice the rate to 0. All
            three move equally far in all.
        freeze_after: share of the run's iterations after which the distribution is its mode for
            good; 1: never.
        begin: share of the run's iterations before the search begins.
    """

    def __init__(self, schedule: Schedule, freeze_after: float, begin: float = 0.0) -> None:
        self.schedule = schedule
        self.freeze_after = freeze_after
        self.begin = begin
        self.frozen = False

    def rate(self, rate: float, done: float) -> float:
        """Return the rate of the next search step, after a share ``done`` of the iterations."""
        if self.schedule == "constant":
            return rate
        progress = min(1.0, (done - self.begin) / (self.freeze_after - self.begin))
        return 2 * rate * (progress if self.schedule == "rise" else 1 - progress)

    def update(self, distribution: SearchDistribution, done: float) -> None:
        """Freeze the distribution where it is time; once frozen it stays, also in a longer run."""
        ends = self.freeze_after < 1 and done >= self.freeze_after
        if ends and not self.frozen:
            self.frozen = True
            distribution.harden()

    def state_dict(self) -> dict[str, Any]:
        """Return whether the search has ended."""
        return {"frozen": self.frozen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.frozen = bool(state["frozen"])


def too_late(begin: float, end: float, rate_left: Callable[[float], float]) -> str | None:
    """Say that the learning rate has fallen before what was found is trained alone, if it has.

    Args:
        begin: share of the run after which the search begins.
        end: share of the run after which it ends; 1: never.
        rate_left: the share of the run's summed learning rate behind a share of its iterations.
    """
    if end == 1 or (left := rate_left(end)) > (1 - end) / 2:
        return None
    told = f"{100 * left:.1f} % of the learning rate is left when the search ends"
    earlier = [
        n / 20 for n in range(1, 20) if begin < n / 20 < end and rate_left(n / 20) >= 1 - end
    ]
    if not earlier:
        return told
    last = earlier[-1]
    better = f"freeze_after={last:g} (and fold_back={1 - last:g})"
    return f"{told}, at {100 * end:g} % of the run; {better} leaves {100 * rate_left(last):.0f} %"
