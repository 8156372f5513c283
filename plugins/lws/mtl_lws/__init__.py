"""This plugin has learned weight sharing."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute the method of Prellberg and Kramer, 2020, and its control without a search."""
    return {
        "lws": "mtl_lws.strategy:LearnedWeightSharing",
        "roaming": "mtl_lws.roaming:Roaming",
    }


@hookimpl
def mtl_figures(runs: "Sequence[FinishedRun]") -> "Iterable[ReportFigure]":
    """Draw the most probable assignment over the iterations."""
    from .figures import figures

    return figures(runs)
