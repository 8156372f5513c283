"""The command line writes to the consoles that are made here."""

import contextlib
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.text import Text

from ..support.alive import alive
from ..support.errors import MtlError
from ..support.terminal import PlainConsole, printable

if TYPE_CHECKING:
    from ..plugins.contributions import PluginProblem
    from ..plugins.manager import Plugins


def stdout(quiet: bool = False) -> PlainConsole:
    """Make the console for results; without a terminal, lines of 200 characters fit."""
    return PlainConsole(width=None if sys.stdout.isatty() else 200, quiet=quiet)


def stderr(
    quiet: bool = False, log_file: Path | None = None, show_test: bool = False
) -> PlainConsole:
    """Make the console for progress, warnings and errors.

    Args:
        quiet: whether to show nothing; a log file still gets all lines.
        log_file: file to which all lines are appended, too.
        show_test: whether figures of test examples may be shown while a run trains.

    Raises:
        MtlError: if the log file cannot be written.
    """
    log = None
    if log_file is not None:
        try:
            file = log_file.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise MtlError(f"cannot write --log-file {log_file}: {error.strerror}") from error
        log = PlainConsole(file=file, width=200, soft_wrap=True, color_system=None)
    return PlainConsole(stderr=True, soft_wrap=True, quiet=quiet, show_test=show_test, log=log)


class Forgiving:
    """This stream drops what is written, without an error, once its reader is gone.

    Args:
        stream: stdout or stderr.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, unless nobody reads."""
        try:
            return int(self._stream.write(text))
        except BrokenPipeError:
            self._forget()
            return len(text)

    def flush(self) -> None:
        """Flush, unless nobody reads."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._forget()

    def _forget(self) -> None:
        """Send all further output to nowhere, Python's own at its end included."""
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def plain_warnings() -> None:
    """Show warnings of libraries and plugins with control characters written out."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        (file or sys.stderr).write(printable(text))

    warnings.showwarning = show


def say_error(message: str, label: str = "error") -> None:
    """Print one line that says why there is no result."""
    _line(label, "bold red", message)


def say_traceback(error: Exception) -> None:
    """Print Python's traceback, with control characters written out."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))


def say_warning(problem: "PluginProblem | str") -> None:
    """Print one line about a plugin that is left out, or about doubtful figures."""
    _line("warning", "bold yellow", str(problem))


def load_plugins(quiet: bool = False) -> "Plugins":
    """Load all plugins, and warn of broken ones.

    A terminal shows that they are being loaded, unless ``quiet``; so no other :func:`alive` should
    be at work, as two of them write over each other.
    """
    with alive(stderr(quiet), "loading plugins"):
        from ..plugins.manager import Plugins

        return Plugins.load(on_problem=say_warning)


def _line(label: str, style: str, message: str) -> None:
    text = Text.assemble((f"{label}:", style), " ", " ".join(message.split()))
    stderr().print(text, soft_wrap=True)
