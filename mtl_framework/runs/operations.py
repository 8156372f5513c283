"""What a run costs whatever the machine: multiply-accumulates, counted in some of its steps.

Steps of a run differ: a search draws few or many paths, and ends; a shared start is cheap. So steps
are counted all through the run, at a stride that doubles as the run gets longer. Which steps that
are depends on nothing but their number, so a run that was stopped or extended counts the same ones.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..support.distributed import process_count
from .config import RunConfig
from .progress_state import ProgressState

T = TypeVar("T")

_MOST = 40  # steps whose counts are kept
_FLOPS_A_MAC = 2


class MacCounter(TorchDispatchMode):
    """This mode counts multiply-accumulates of matrix products, convolutions and attention.

    The formulas are those of torch's counter of floating-point operations, which would also split
    compound operations into others and follow modules; here what runs stays as it is.

    Attributes:
        macs: multiply-accumulates so far, forwards and backwards.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation, and count it where torch has a formula for it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(getattr(func, "_overloadpacket", None))
        if formula is not None:
            self.macs += formula(*args, **kwargs, out_val=out) // _FLOPS_A_MAC
        return out


class Operations:
    """Some of a run's steps are counted; the rest cost nothing.

    The steps are those whose number, from 1, is a multiple of the stride; it doubles whenever more
    than 40 counts are held, and half of them go. Of 100 steps 4, 8, ..., 100 are left; 1, 2 and 3
    were counted, too, when it was not yet known how long the run is.

    Args:
        counts: multiply-accumulates by the number of the step; those of an earlier part of the run,
            to which further ones are added.
        on: whether to count at all. Steps that a GPU replays from a recording send it nothing that
            could be counted.
    """

    def __init__(self, counts: dict[int, int], on: bool = True) -> None:
        self.counts, self.on = counts, on

    @classmethod
    def of(cls, state: ProgressState, config: RunConfig, device: torch.device) -> "Operations":
        """Go on counting in a run, or not: what a run did before steps were counted is unknown."""
        replays = config.cuda_graphs and device.type == "cuda"
        return cls(state.macs, on=not replays and (bool(state.macs) or not state.iteration))

    @property
    def stride(self) -> int:
        """Return the stride: the least distance of two steps that are counted, at first 1."""
        first = min(self.counts, default=1)
        return first if len(self.counts) <= _MOST else 2 * first

    def during(self, number: int, step: Callable[[], T]) -> T:
        """Do a step and return what it returns; count it if it is one of those that are counted.

        Args:
            number: number of the step in the run, from 1.
            step: the step.
        """
        if not self.on or number % self.stride:
            return step()
        with MacCounter() as counter:
            found = step()
        self.counts[number] = counter.macs
        stride = self.stride
        for other in [number for number in self.counts if number % stride]:
            del self.counts[other]
        return found


def mean_macs(counts: Mapping[int, int]) -> float | None:
    """Return the mean of the counted steps, over all processes; ``None``: none was counted.

    Of several processes each has its part of every batch, and counts its own.
    """
    if not counts:
        return None
    return process_count() * sum(counts.values()) / len(counts)
