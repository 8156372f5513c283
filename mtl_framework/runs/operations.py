"""What a run costs whatever the machine: multiply-accumulates, counted in some of its steps.

Steps of a run differ: a search draws few or many paths, and ends; a shared start is cheap; every
tenth step may measure something. So steps are counted all through the run, one of every 32, and in
long runs one of every 64, 128, ... Which one is drawn by chance, as a regular distance would always
hit, or always miss, what a strategy does at a regular distance. The draws depend on nothing but the
step's number, so a run that was stopped or extended counts the same ones.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from zlib import crc32

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import (
    flop_registry,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from ..support.distributed import process_count
from .config import RunConfig
from .progress_state import ProgressState

T = TypeVar("T")

_BLOCK = 32  # steps of which one is counted: while it is, a step takes up to twice as long
_FIRST = 2  # number of the first step that is counted
_MOST = 40  # counts that are kept; when there would be more, of every two blocks one goes
_FLOPS_A_MAC = 2


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape))


_aten = torch.ops.aten
_FORMULAS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,  # which lacks the CPU's attention
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class MacCounter(TorchDispatchMode):
    """This mode counts multiply-accumulates of matrix products, convolutions and attention.

    The formulas are those of torch's counter of floating-point operations, which would also follow
    modules and end what torch.compile has compiled; here what runs stays as it is. Operations
    inside of compiled code, of recurrent layers, and in other threads are not seen.

    Attributes:
        macs: multiply-accumulates so far, forwards and backwards.
    """

    supports_higher_order_operators = True

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Tell torch.compile that this mode changes nothing, so that it need not step aside."""
        return True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation, and count it where torch has a formula for it."""
        kwargs = kwargs or {}
        formula = _FORMULAS.get(getattr(func, "_overloadpacket", None))
        if formula is None and torch.is_inference_mode_enabled() and hasattr(func, "decompose"):
            with self:  # otherwise compound operations arrive as parts, here they arrive whole
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if formula is not None:
            self.macs += formula(*args, **kwargs, out_val=out) // _FLOPS_A_MAC
        return out


def is_counted(number: int, level: int) -> bool:
    """Say whether a step is the one of its block that is counted.

    Blocks of a level are two neighbours of the level below, of which one is drawn: that one's step
    is counted. On level 0 step 2 stands for the first 32, so that short runs are counted, too.

    Args:
        number: number of the step, from 1.
        level: a block has 32 · 2^level steps.
    """
    block, place = divmod(number - 1, _BLOCK)
    if place != (_draw(0, block) % _BLOCK if block else _FIRST - 1):
        return False
    for above in range(1, level + 1):
        block, half = divmod(block, 2)
        if half != _draw(above, block) % 2:
            return False
    return True


def _draw(level: int, block: int) -> int:
    """Draw a number for a block: always the same one, and another for every other block."""
    return crc32(f"{level} {block}".encode()) >> 8


def level_of(steps: int) -> int:
    """Return the level on which so many steps have at most 40 blocks."""
    level = 0
    while steps > _MOST * _BLOCK << level:
        level += 1
    return level


class Operations:
    """Some of a run's steps are counted; the rest cost nothing.

    Args:
        counts: multiply-accumulates by the number of the step; those of an earlier part of the run,
            to which further ones are added.
        on: whether to count at all.
    """

    def __init__(self, counts: dict[int, int], on: bool = True) -> None:
        self.counts, self.on = counts, on

    @classmethod
    def of(cls, state: ProgressState, config: RunConfig, device: torch.device) -> "Operations":
        """Go on counting in a run, or not.

        Steps that a GPU replays from a recording send it nothing that could be counted; with a
        memory budget the first step of every part of a run tries how much fits; and what a run did
        before steps were counted is unknown.
        """
        replays = config.cuda_graphs and device.type == "cuda"
        known = bool(state.macs) or state.iteration < _FIRST
        on = known and not replays and config.memory_budget is None
        if not on:
            state.macs.clear()
        return cls(state.macs, on)

    def during(self, number: int, step: Callable[[], T]) -> T:
        """Do a step and return what it returns; count it if it is one of those that are counted.

        Args:
            number: number of the step in the run, from 1.
            step: the step.
        """
        level = level_of(number)
        if not self.on or not is_counted(number, level):
            return step()
        with MacCounter() as counter:
            found = step()
        # each of several processes has its part of every batch
        self.counts[number] = process_count() * counter.macs
        for other in [other for other in self.counts if not is_counted(other, level)]:
            del self.counts[other]
        return found


def mean_macs(counts: Mapping[int, int]) -> float | None:
    """Return the mean of the counted steps; ``None``: nothing was counted."""
    return sum(counts.values()) / len(counts) if any(counts.values()) else None
