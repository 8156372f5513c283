"""Where the command line writes."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from ..plugins.manager import PluginProblem, Plugins


def stdout() -> Console:
    """For results. Nothing is cut to the width of a terminal where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def stderr() -> Console:
    """For progress, warnings and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say_error(message: str, label: str = "error") -> None:
    """One line that says why there is no result."""
    _line(f"[bold red]{label}:[/]", message)


def say_warning(problem: "PluginProblem") -> None:
    """One line about a plugin that is left out."""
    _line("[bold yellow]warning:[/]", str(problem))


def load_plugins() -> "Plugins":
    """All plugins; broken ones are warned of."""
    from ..plugins.manager import Plugins

    return Plugins.load(on_problem=say_warning)


def _line(label: str, message: str) -> None:
    console = stderr()
    console.print(label, end=" ")
    console.print(" ".join(message.split()), markup=False)
