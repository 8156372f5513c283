"""This plugin has modular universal reparameterization."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute the method of Meyerson and Miikkulainen, 2019."""
    return {"muir": "mtl_muir.strategy:Muir"}


@hookimpl
def mtl_figures(runs: Sequence["FinishedRun"]) -> list["ReportFigure"]:
    """Draw what the hypermodules of the first finished run of this strategy are used for."""
    from .report.figures import figures

    return figures(runs)
