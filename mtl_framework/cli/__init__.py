"""The command line, ``mtl``.

Errors meant for the user are one line on stderr and exit status 2. torch and plugins are imported
inside the commands that need them, so that help and lists answer at once.
"""

import sys
from collections.abc import Sequence

import typer

from ..support.errors import MtlError, ProblemsError
from ..support.interrupts import Interrupted
from . import compare, describe, evaluate, export, listing, predict, report, run
from .console import say_error

# The one class above it stands for every wrong use of commands and options. Typer does not export
# it: older releases take it from click, newer ones from a copy of their own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="mtl",
    help="Multi-task learning in which how tasks share weights is a plugin.",
    epilog="Start with: mtl run --strategy lws --backbone resnet18",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", help="Train the tasks of a suite together.")(run.run)
app.command("compare", help="Compare strategies from one config: many runs, statistics, a report.")(
    compare.compare
)
app.command("report", help="Show what runs found: tables and figures on one HTML page.")(
    report.report
)
app.command("predict", help="Say what one task's network sees in images.")(predict.predict)
app.command("evaluate", help="Measure a run's networks again.")(evaluate.evaluate)
app.command("export", help="Take tasks' networks out of a run, to be used on their own.")(
    export.export
)
app.add_typer(listing.app, name="list")
app.command("describe", help="Show the parts of a backbone, or the options of a strategy.")(
    describe.describe
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 wrong use, 128 + n stopped by signal n.

    Args:
        arguments: without the program's name; default: those of the process.
    """
    sys.exit(_status(sys.argv[1:] if arguments is None else list(arguments)))


def _status(arguments: list[str]) -> int:
    try:
        status = app(arguments or ["--help"], prog_name="mtl", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except Interrupted as stopped:
        say_error(str(stopped), label="stopped")
        return 128 + stopped.signal
    except ProblemsError as error:
        for problem in error.first():
            say_error(problem)
        return 2
    except MtlError as error:
        say_error(str(error))
        return 2
    except _UsageError as error:
        say_error(_usage(error))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        say_error("interrupted", label="stopped")
        return 130


def _usage(error: Exception) -> str:
    """Wrong use in one line, with where to read more."""
    formatted: str = getattr(error, "format_message", lambda: str(error))()
    message = " ".join(formatted.split()).rstrip(".")
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "mtl"
    return f"{message}; see `{command} --help`"
