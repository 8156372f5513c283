"""Figures of reports: how a plugin draws one that looks like the report's own.

Names are imported when first used, so that importing the module does not import matplotlib.
"""

from typing import TYPE_CHECKING

from .support.facade import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .plugins.report_figure import ReportFigure as ReportFigure
    from .reports.figure import INK as INK
    from .reports.figure import MARKERS as MARKERS
    from .reports.figure import MUTED as MUTED
    from .reports.figure import PALETTE as PALETTE
    from .reports.figure import PAPER as PAPER
    from .reports.figure import SEQUENTIAL as SEQUENTIAL
    from .reports.figure import bare as bare
    from .reports.figure import colour_of as colour_of
    from .reports.figure import new_figure as new_figure
    from .reports.figure import png as png
    from .reports.figure import shortened as shortened
    from .reports.figure import style as style
    from .reports.figure import svg as svg
    from .reports.figure import tick_rotation as tick_rotation
    from .reports.middle import middle_runs as middle_runs

_HOMES = {
    "INK": "reports.figure",
    "MARKERS": "reports.figure",
    "MUTED": "reports.figure",
    "PALETTE": "reports.figure",
    "PAPER": "reports.figure",
    "ReportFigure": "plugins.report_figure",
    "SEQUENTIAL": "reports.figure",
    "bare": "reports.figure",
    "colour_of": "reports.figure",
    "middle_runs": "reports.middle",
    "new_figure": "reports.figure",
    "png": "reports.figure",
    "shortened": "reports.figure",
    "style": "reports.figure",
    "svg": "reports.figure",
    "tick_rotation": "reports.figure",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
