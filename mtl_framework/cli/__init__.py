"""The command line ``mtl`` is assembled from its commands here, and shows their errors.

Errors meant for the user are one line on stderr and exit status 2. torch and plugins are imported
inside the commands that need them, so that help and lists answer at once.
"""

import atexit
import gc
import re
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Annotated, TextIO, cast

import typer

from ..plugins.guard import failure_text
from ..support.errors import MtlError, ProblemsError, nearest
from ..support.interrupts import Interrupted
from ..support.processes import asked_number
from ..support.threads import set_thread_waiting
from . import (
    check,
    check_strategy,
    compare,
    describe,
    evaluate,
    export,
    listing,
    predict,
    report,
    run,
    tune,
)
from .console import Forgiving, plain_warnings, say_error, say_traceback

# The one class above it stands for every wrong use of commands and options. Typer does not export
# it: older releases take it from click, newer ones from a copy of their own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_CHOICE = re.compile("'([^']*)' is not one of (.*)")

_AT_ONCE = 130  # exit status after a Ctrl-C that nothing waits for

app = typer.Typer(
    name="mtl",
    help="Multi-task learning in which how tasks share weights is a plugin.",
    epilog="Start with: mtl run --strategy lws --backbone resnet18",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", help="Train the tasks of a suite together.")(run.run)
app.command("compare", help="Compare strategies from one config: many runs, statistics, a report.")(
    compare.compare
)
app.command("tune", help="Search for the best options, by validation.")(tune.tune)
app.command("report", help="Show what runs found: tables and figures on one HTML page.")(
    report.report
)
app.command("predict", help="Predict with one task's network on image files.")(predict.predict)
app.command("evaluate", help="Evaluate a run's networks again.")(evaluate.evaluate)
app.command("export", help="Export trained networks of a run, to be used without this framework.")(
    export.export
)
app.command("check", help="Look at a suite's data without training.")(check.check)
app.add_typer(listing.app, name="list")
app.command("describe", help="Show the parts of a backbone, or the options of a strategy.")(
    describe.describe
)
app.command("check-strategy", help="Check that a strategy keeps its contract; for its author.")(
    check_strategy.check_strategy
)


def print_version(wanted: bool) -> bool:
    """Print the version and exit, if it is wanted."""
    if wanted:
        typer.echo(f"mtl {version_of('mtl-framework')}")
        raise typer.Exit
    return wanted


@app.callback()
def options_of_all(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=print_version, help="Print the version and exit."
        ),
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option(
            "--traceback", help="Show the Python traceback of an error in a plugin's code."
        ),
    ] = False,
) -> None:
    """Take the options that stand before the command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 wrong use, 128 + n stopped by signal n.

    Args:
        arguments: the command line without the program's name; default: that of the process.
    """
    set_thread_waiting()
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, Forgiving(stream)) for stream in streams)
    shown = warnings.showwarning
    plain_warnings()
    try:
        status = _status(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = streams
        warnings.showwarning = shown
    sys.exit(status)


def _status(arguments: list[str]) -> int:
    given, traceback = arguments, "--traceback" in arguments
    arguments = [argument for argument in arguments if argument != "--traceback"]
    try:
        shown = arguments or ["--help"]
        status = app(shown, prog_name="mtl", standalone_mode=False, obj=given)
        if status == _AT_ONCE:  # what Typer makes of a KeyboardInterrupt
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except Interrupted as stopped:
        say_error(str(stopped), label="stopped")
        return 128 + stopped.signal
    except ProblemsError as error:
        for problem in error.first():
            say_error(problem)
        return 2
    except MtlError as error:
        if traceback and error.__cause__ is not None:
            say_traceback(error)
        else:
            say_error(str(error))
        return 2
    except _UsageError as error:
        if not asked_number():  # else the first of several processes says it
            say_error(_usage(error))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        if not asked_number():
            say_error("interrupted at once; what was saved before is kept", label="stopped")
        atexit.register(gc.freeze)  # else Python looks through all of torch first, for seconds
        return _AT_ONCE
    except Exception as error:
        text = failure_text(error)
        if text is None:  # a mistake of the framework
            raise
        if traceback:
            say_traceback(error)
        else:
            say_error(f"{text}; `mtl --traceback ...` shows where")
        return 2


def _usage(error: Exception) -> str:
    """Describe wrong use in one line, with where to read more."""
    formatted: str = getattr(error, "format_message", lambda: str(error))()
    message = " ".join(formatted.split()).rstrip(".")
    message = message[:1].lower() + message[1:].replace("Value error, ", "")
    wrong = _CHOICE.search(message)
    if wrong and (near := nearest(wrong[1], re.findall("'([^']*)'", wrong[2]))):
        message += f"; did you mean {near!r}?"
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "mtl"
    return f"{message}; see `{command} --help`"
