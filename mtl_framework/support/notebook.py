"""Notebooks are detected, and get messages and progress without terminal codes."""

import html
import sys
import time
from typing import Any

from .terminal import PlainConsole

_EVERY = 0.3  # seconds between two pictures of a bar


def in_notebook() -> bool:
    """Say whether this code runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def python_console() -> PlainConsole:
    """Make a console for messages: stderr in a program, lines below the cell in a notebook."""
    if not in_notebook():
        return PlainConsole(stderr=True, soft_wrap=True)
    console = PlainConsole(
        file=sys.stdout,
        soft_wrap=True,
        width=120,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
    )
    console.notebook = True
    return console


class NotebookBar:
    """A progress bar below a notebook's cell, of HTML that a browser draws by itself.

    Args:
        title: the text above the bar: what is under way.
        total: number of steps in all.

    Attributes:
        done: number of steps so far.
    """

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._shown = 0.0
        self._lines: list[str] = []
        self.done, self._text = 0, ""
        self._handle: Any = None

    @property
    def is_due(self) -> bool:
        """Say whether it is time to draw the bar again."""
        return time.monotonic() - self._shown >= _EVERY

    def show(self, done: int, text: str = "", force: bool = False) -> None:
        """Draw the bar, unless that was done a moment ago.

        Args:
            done: number of steps so far.
            text: a text beside the bar.
            force: draw in any case.
        """
        self.done, self._text = done, text or self._text
        if not force and not self.is_due:
            return
        self._shown = time.monotonic()
        if self._handle is None:
            import IPython.display

            show: Any = IPython.display.display
            self._handle = show(_Html(self), display_id=True)
        else:
            self._handle.update(_Html(self))

    def add(self, line: str) -> None:
        """Put a line below the bar for good."""
        self._lines.append(line)
        self.show(self.done, force=True)

    def plain(self) -> str:
        """Return the bar as one line of text, with the lines below it."""
        return "\n".join([f"{self._title} {self.done}/{self._total} {self._text}", *self._lines])

    def html(self) -> str:
        """Return the bar as HTML."""
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self._lines)
        return (
            f"<div><span>{html.escape(self._title)}</span> "
            f'<progress value="{self.done}" max="{self._total}" style="width: 16em"></progress> '
            f"<span>{self.done}/{self._total} {html.escape(self._text)}</span></div>{lines}"
        )


class _Html:
    """IPython shows an object of this class as HTML."""

    def __init__(self, bar: NotebookBar) -> None:
        self._repr, self._markup = bar.plain(), bar.html()

    def __repr__(self) -> str:
        return self._repr

    def _repr_html_(self) -> str:
        return self._markup
