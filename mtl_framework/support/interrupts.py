"""Signals that ask a run to stop are remembered, and answered between two iterations."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from .errors import MtlError

# SIGHUP: the terminal was closed; systems without it have no such terminals.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
ANSWER = "finishing this step, then saving; once more stops at once, with what was saved before"
_Handler = Callable[[int, FrameType | None], Any] | int | None


class Interrupted(MtlError):  # noqa: N818 (the run did nothing wrong)
    """This is raised when a run was asked to stop and has saved its state.

    Args:
        signal_number: number of the signal that asked, e.g. ``signal.SIGINT``; kept as
            :attr:`signal`.
        message: one line that says how to go on.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal_number


class Interrupts:
    """While entered, the first SIGINT, SIGTERM or SIGHUP only sets :attr:`received`.

    The signal is answered at once with a line on stderr. Then the former handlers are back, so that
    a second Ctrl-C stops at once, with what was saved before; it does so, too, where a shell has
    its background jobs ignore Ctrl-C, which they do again afterwards. A SIGHUP that is ignored, as
    ``nohup`` asks for, stays so. Outside the main thread, where Python delivers no signals, this
    does nothing.

    Args:
        answer: the line that is written to stderr; empty: none.
    """

    def __init__(self, answer: str = ANSWER) -> None:
        self.received: int | None = None
        self._answer = answer
        self._former: dict[int, _Handler] = {}
        self._listening = False  # to a second Ctrl-C that a shell had the process ignore

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
        if self._listening:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._listening = False

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # else a second one would be lost
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._listening = True
        # not by print: the signal may have come while a line was being written
        if self._answer:
            with contextlib.suppress(OSError):
                os.write(2, f"\n{self._answer}\n".encode())

    def _restore(self) -> None:
        while self._former:
            number, handler = self._former.popitem()
            # None: a handler that was not installed from Python, which cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
