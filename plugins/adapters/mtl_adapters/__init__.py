"""Small modules of every task's own beside the layers of a trunk that all have in common."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mtl_framework import hookimpl

if TYPE_CHECKING:
    from mtl_framework import FinishedRun
    from mtl_framework.plotting import ReportFigure


@hookimpl
def mtl_strategies() -> dict[str, str]:
    """Contribute residual adapters (Rebuffi et al., 2017 and 2018) and banks of low-rank pairs."""
    return {"adapters": "mtl_adapters.strategy:Adapters"}


@hookimpl
def mtl_figures(runs: "Sequence[FinishedRun]") -> "Iterable[ReportFigure]":
    """Draw, for the runs of strategy ``adapters``, how large adapters are and what they change."""
    from .figures import adapter_figures

    return adapter_figures(runs)
