"""Where a run waits for its GPU: torch names every such call when it is asked to."""

import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch

import mtl_framework
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.plugins.manager import Plugins


class Waits:
    """Counts calls that wait for the device, by the iteration in which they were made.

    A context: inside, torch warns of each wait and the warnings are collected. Its plugins tell it
    which iteration is under way.
    """

    def __init__(self) -> None:
        self.plugins = Plugins.load()
        self.plugins.register(self, "waits")
        self.waits: list[tuple[int, str]] = []
        self.iteration = 0

    @hookimpl
    def mtl_step(self, run: mtl_framework.TrainingRun) -> None:
        self.iteration = run.iteration

    def __enter__(self) -> Self:
        self._catch = warnings.catch_warnings()
        self._catch.__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = self._collect  # type: ignore[assignment]
        torch.cuda.set_sync_debug_mode("warn")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        torch.cuda.set_sync_debug_mode("default")
        self._catch.__exit__(kind, error, trace)

    def _collect(self, message: Warning | str, *_: object) -> None:
        if "synchronizing" not in str(message):
            return
        frames = [f for f in traceback.extract_stack() if "mtl_" in f.filename][-3:]
        where = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in frames[::-1])
        self.waits.append((self.iteration, where))

    def between(self, first: int, last: int) -> Sequence[str]:
        """Places of the waits after an iteration, up to another."""
        return [where for iteration, where in self.waits if first <= iteration < last]

    def report(self, first: int, last: int) -> str:
        """How often each place waited."""
        counts = Counter(self.between(first, last)).most_common(12)
        return "\n".join(f"{number} x {where}" for where, number in counts)
