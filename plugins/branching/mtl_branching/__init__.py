"""These strategies measure how tasks help or hinder each other, and decide who shares what."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute task grouping (TAG), Recon and fully-adaptive sharing (FAFS)."""
    return {
        "task_grouping": "mtl_branching.grouping:TaskGrouping",
        "recon": "mtl_branching.recon:Recon",
        "fafs": "mtl_branching.fafs:Fafs",
    }


@hookimpl
def mtl_figures(runs: "Sequence[FinishedRun]") -> "Iterable[ReportFigure]":
    """Draw, for the runs of this plugin's strategies, what was measured to decide the sharing."""
    from .figures import measured_figures

    return measured_figures(runs)
