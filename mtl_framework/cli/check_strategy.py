"""``mtl check-strategy`` tries on one strategy what the framework relies on."""

import tempfile
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..support.errors import MtlError, message_of
from . import completion, options
from .console import load_plugins, stdout

if TYPE_CHECKING:
    from ..strategies.strategy import Strategy


def check_strategy(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of the strategy: `mtl list strategies`.",
            autocompletion=completion.strategies,
        ),
    ],
    settings: options.Settings = None,
) -> None:
    """Run the checks for authors of strategies on a small suite; exit status 1 if any fails."""
    parsed = options.settings_of(settings)
    # broken plugins and unknown names are told of before anything
    strategy = load_plugins().strategy(name)
    from ..plugins.checks import reason_of
    from ..testing.checks import CHECKS
    from ..testing.trial import Trial

    console = stdout()
    trial = Trial(name, {} if parsed else strategy.check_options, settings=parsed)
    try:
        trial.resolve(trial.plugins())
    except MtlError as error:
        raise MtlError(f"{error}; {_example(name, strategy)}") from error
    if trial.options:
        shown = " ".join(f"{key}={value}" for key, value in trial.options.items())
        console.print(f"with {shown} (--set gives others)", markup=False, soft_wrap=True)
    failed = 0
    for check in CHECKS:
        promise = (check.__doc__ or "").strip().splitlines()[0]
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(trial, Path(folder))
                verdict, reason = "ok", ""
            except unittest.SkipTest as skipped:
                verdict, reason = "skipped", str(skipped)
            except (AssertionError, MtlError) as error:
                verdict, reason = "FAILED", message_of(error)
            except Exception as error:  # of the strategy, whatever it is
                verdict, reason = "FAILED", reason_of(error)
        failed += verdict == "FAILED"
        console.print(f"{verdict:8}{promise}", markup=False)
        if reason:
            console.print(f"        {reason}", markup=False, soft_wrap=True)
    if failed:
        console.print(f"{failed} of {len(CHECKS)} checks failed", markup=False)
        raise typer.Exit(1)


def _example(name: str, strategy: "type[Strategy]") -> str:
    """Say how options are given to a strategy that refuses those it has."""
    options = strategy.check_options or {"OPTION": "VALUE"}
    given = " ".join(f"--set {key}={value}" for key, value in options.items())
    return f"give options as in `mtl check-strategy {name} {given}`"
