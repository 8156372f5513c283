"""This plugin has networks whose activations are mixed instead of their weights shared."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute cross-stitch networks (Misra et al., 2016), NDDR-CNN and sluice networks."""
    return {
        "cross_stitch": "mtl_soft_sharing.strategy:CrossStitch",
        "nddr": "mtl_soft_sharing.nddr:Nddr",
        "sluice": "mtl_soft_sharing.sluice:Sluice",
    }


@hookimpl
def mtl_figures(runs: "Sequence[FinishedRun]") -> "Iterable[ReportFigure]":
    """Draw what the runs of these strategies among ``runs`` mix."""
    from .figures import mixing_figures

    return mixing_figures(runs)
