"""A report takes figures of plugins in the form that is defined here."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportFigure:
    """A report figure is a drawing with the words that stand beside it.

    Args:
        name: file name without suffix: letters, digits, ``-`` and ``_``.
        title: heading of one short line.
        alt: description for a reader who cannot see the figure.
        caption: sentences that say how to read the figure.
        figure: a matplotlib figure, drawn under :func:`style`.
        wide: whether the page scrolls the figure sideways instead of shrinking it to a phone's
            width.
    """

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure
    wide: bool = False
