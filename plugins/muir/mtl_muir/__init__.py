"""Modular universal reparameterization, as a plugin."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Meyerson and Miikkulainen 2019."""
    return {"muir": "mtl_muir.strategy:Muir"}


@hookimpl
def mtl_figures(runs: Sequence["FinishedRun"]) -> list["ReportFigure"]:
    """What the hypermodules are used for, of the first finished run of this strategy."""
    from .report.figures import figures

    return figures(runs)
