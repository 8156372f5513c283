"""This plugin has networks in which a router chooses a block for every task at every depth."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute routing networks (Rosenbaum, Klinger and Riemer, 2018)."""
    return {"routing_networks": "mtl_routing_networks.strategy:RoutingNetworks"}


@hookimpl
def mtl_figures(runs: "Sequence[FinishedRun]") -> "Iterable[ReportFigure]":
    """Draw the routes of this strategy's runs among ``runs``, and how far they collapsed."""
    from .figures import route_figures

    return route_figures(runs)
