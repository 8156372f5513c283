"""This plugin has pseudo-task augmentation (Meyerson and Miikkulainen 2018, arXiv 1803.04062)."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute pseudo-task augmentation: several decoders a task."""
    return {"pta": "mtl_pta.strategy:PseudoTaskAugmentation"}


@hookimpl
def mtl_backbones() -> dict[str, str]:
    """Contribute the network of the paper's first experiments."""
    return {"pta_convnet": "mtl_pta.backbone:PtaConvNet"}


@hookimpl
def mtl_figures(runs: "Sequence[FinishedRun]") -> "Iterable[ReportFigure]":
    """Draw trajectories of decoders, and schedules of dropout rates."""
    from .figures import draw

    return draw(runs)
