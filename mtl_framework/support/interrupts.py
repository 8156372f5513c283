"""Signals that ask a run to stop: remembered, and answered between two iterations."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from .errors import MtlError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], Any] | int | None


class Interrupted(MtlError):  # noqa: N818 (the run did nothing wrong)
    """The run was asked to stop and has saved its state.

    Args:
        signal_number: what asked, e.g. ``signal.SIGINT``; kept as :attr:`signal`.
        message: one line that says how to go on.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal_number


class Interrupts:
    """While entered, the first SIGINT or SIGTERM only sets :attr:`received`.

    With the first one the former handlers come back, so that a second Ctrl-C stops at once.
    Outside the main thread, where Python delivers no signals, this does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._former: dict[int, _Handler] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._former[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._former:
            number, handler = self._former.popitem()
            # None: a handler that was not installed from Python, which cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
