"""Networks whose activations are mixed instead of their weights shared, as a plugin."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute cross-stitch networks (Misra et al., 2016)."""
    return {"cross_stitch": "mtl_soft_sharing.strategy:CrossStitch"}


@hookimpl
def mtl_figures(runs: "Sequence[FinishedRun]") -> "Iterable[ReportFigure]":
    """Mixing weights of the cross-stitch runs among ``runs``."""
    from .figures import mixing_figures

    return mixing_figures(runs)
