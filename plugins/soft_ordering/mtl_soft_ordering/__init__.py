"""This plugin has networks whose tasks learn in which order they use common layers."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute soft layer ordering (Meyerson and Miikkulainen, 2018)."""
    return {"soft_ordering": "mtl_soft_ordering.strategy:SoftOrdering"}


@hookimpl
def mtl_figures(runs: "Sequence[FinishedRun]") -> "Iterable[ReportFigure]":
    """Draw the orders that the runs of this strategy among ``runs`` have learned."""
    from .figures import order_figures

    return order_figures(runs)
