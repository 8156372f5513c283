"""While a slow step runs, a terminal shows what is being done and for how long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

PATIENCE = 2.0  # seconds before something is shown


@contextmanager
def alive(console: Console, text: str) -> Iterator[None]:
    """Show in a terminal, after two seconds, what is being done and for how long already.

    Lines that are printed inside appear above; nothing is left behind.

    Args:
        console: the console to write to; one that is no terminal shows nothing.
        text: what is being done, e.g. ``"reading images"``.
    """
    if not console.is_terminal or console.quiet:
        yield
        return
    with Live(_Waiting(text), console=console, transient=True, refresh_per_second=8):
        yield


class _Waiting:
    """A renderable that is empty at first, then a spinner with the seconds since it was made."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._begin = time.monotonic()
        self._spinner = Spinner("dots")

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Draw the spinner, or nothing during the first seconds."""
        seconds = time.monotonic() - self._begin
        if seconds < PATIENCE:
            yield Text("")
            return
        self._spinner.update(text=Text(f"{self._text}: {seconds:.0f} s", style="dim"))
        yield self._spinner
