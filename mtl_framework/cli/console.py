"""Where the command line writes."""

import sys
from typing import TYPE_CHECKING

from rich.text import Text

from ..support.terminal import PlainConsole

if TYPE_CHECKING:
    from ..plugins.contributions import PluginProblem
    from ..plugins.manager import Plugins


def stdout() -> PlainConsole:
    """For results. Nothing is cut to the width of a terminal where there is none."""
    return PlainConsole(width=None if sys.stdout.isatty() else 200)


def stderr() -> PlainConsole:
    """For progress, warnings and errors."""
    return PlainConsole(stderr=True, soft_wrap=True)


def say_error(message: str, label: str = "error") -> None:
    """One line that says why there is no result."""
    _line(label, "bold red", message)


def say_warning(problem: "PluginProblem") -> None:
    """One line about a plugin that is left out."""
    _line("warning", "bold yellow", str(problem))


def load_plugins() -> "Plugins":
    """All plugins; broken ones are warned of."""
    from ..plugins.manager import Plugins

    return Plugins.load(on_problem=say_warning)


def _line(label: str, style: str, message: str) -> None:
    text = Text.assemble((f"{label}:", style), " ", " ".join(message.split()))
    stderr().print(text, soft_wrap=True)
