"""Runs that are stopped on the way."""

import signal
from typing import Any

from support.tiny import TinyPlugins

STRATEGIES = ["soft", "routed", "learned"]


class Signals(TinyPlugins):
    """Sends this process a signal after chosen steps."""

    def __init__(self, *after: int, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.after, self.number = after, number

    def notify(self, hook: str, **values: Any) -> None:
        super().notify(hook, **values)
        if hook == "mtl_step" and values["run"].iteration in self.after:
            signal.raise_signal(self.number)
