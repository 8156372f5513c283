"""A figure shows how many tasks use a weight, unit by unit, over all runs."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from ..plugins.report_figure import ReportFigure
from .analysis import run_count
from .assignments import Assignments, usage_shares
from .figure import PAPER, SEQUENTIAL, new_figure, shortened, style, tick_rotation

_MOST_NAMED = 8


def usage_bars(found: Assignments, name: str) -> ReportFigure:
    """Draw as stacked bars the share of the tasks whose weight is used by exactly t tasks."""
    shares = usage_shares(found.weights)
    units, tasks = shares.shape
    with style():
        figure = new_figure(min(max(4.2, 2.4 + 0.55 * units), 13), 3.4)
        axes = figure.subplots()
        most = int(np.flatnonzero(shares.any(0)).max()) + 1
        scale = Normalize(1, max(most, 2))
        bottom = np.zeros(units)
        for t in range(1, tasks + 1):
            height = 100 * shares[:, t - 1]
            if height.any():
                axes.bar(
                    np.arange(units), height, bottom=bottom, width=0.8, color=SEQUENTIAL(scale(t)),
                    edgecolor=PAPER, linewidth=0.6, label=str(t),
                )  # fmt: skip
            bottom += height
        axes.set_xticks(np.arange(units), shortened(found.units), **tick_rotation(units))
        axes.set_xlabel("unit, from input to output")
        axes.set_ylabel("share of the tasks (%)")
        axes.set_ylim(0, 100)
        axes.grid(False)
        if tasks <= _MOST_NAMED:
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(
                handles[::-1], labels[::-1], title="tasks that\nuse the weight", title_fontsize=8,
                loc="outside right center",
            )  # fmt: skip
        else:
            bar = figure.colorbar(ScalarMappable(scale, SEQUENTIAL), ax=axes, pad=0.02)
            bar.set_label("tasks that use the weight", fontsize=8)
            bar.outline.set_visible(False)
    alone = ", ".join(
        f"{u} {100 * s:.0f} %" for u, s in zip(found.units, shares[:, 0], strict=True)
    )
    return ReportFigure(
        name,
        f"How many tasks share, with {found.strategy}",
        f"Stacked bars for {units} units. Share of the tasks with a weight of their own: {alone}.",
        f"Of all tasks, the share whose weight is used by exactly so many tasks, over "
        f"{run_count(len(found.records))}. Dark: a weight of its own; bright: shared by many.",
        figure,
    )
