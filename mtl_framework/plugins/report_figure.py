"""The figure that a plugin gives to a report."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportFigure:
    """A figure with its words.

    Args:
        name: of its files, without suffix: letters, digits, ``-`` and ``_``.
        title: one short line.
        alt: what a reader who cannot see the figure should know of its content.
        caption: how to read it.
        figure: drawn under :func:`style`.
        wide: do not shrink it to a phone's width; the page lets it be scrolled instead.
    """

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure
    wide: bool = False
