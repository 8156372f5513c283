"""A figure shows which tasks belong together: how often each pair shares."""

import matplotlib as mpl
import numpy as np
from scipy.cluster import hierarchy

from ..plugins.report_figure import ReportFigure
from .analysis import run_count
from .assignments import Assignments, cluster, clustered_order, pair_frequencies
from .figure import MUTED, SEQUENTIAL, bare, new_figure, shortened, style, tick_rotation

_MOST_NUMBERS = 12


def pair_map(found: Assignments, name: str) -> ReportFigure | None:
    """Draw how often each pair of tasks shares, as a clustered map; ``None`` of a single task."""
    frequencies = pair_frequencies(found.weights)
    linkage = cluster(frequencies)
    if linkage is None:
        return None
    order = clustered_order(frequencies)
    values = 100 * frequencies[np.ix_(order, order)]
    tasks = shortened([found.tasks[n] for n in order])
    count = len(tasks)
    with style():
        side = min(max(3.2, 1.4 + 0.5 * count), 9.5)
        figure = new_figure(side + 0.9, side + 0.7)
        top, axes = figure.subplots(2, 1, height_ratios=[1, 6], sharex=False)
        with mpl.rc_context({"lines.linewidth": 1.0}):
            hierarchy.dendrogram(
                linkage, ax=top, no_labels=True, color_threshold=0, above_threshold_color=MUTED
            )
        top.axis("off")
        shown = np.where(np.eye(count, dtype=bool), np.nan, values)
        image = axes.imshow(shown, cmap=SEQUENTIAL, vmin=0, vmax=100, aspect="auto")
        axes.set_xticks(range(count), tasks, **tick_rotation(count))
        axes.set_yticks(range(count), tasks)
        bare(axes)
        axes.tick_params(labelsize=8 if count <= 25 else 6.5)
        if count <= _MOST_NUMBERS:
            for (row, column), value in np.ndenumerate(shown):
                if row == column:
                    continue
                colour = "white" if value < 50 else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8,
                          color=colour)  # fmt: skip
        bar = figure.colorbar(image, ax=axes, pad=0.02, shrink=0.8)
        bar.set_label("units that the pair shares (%)", fontsize=8)
        bar.outline.set_visible(False)
    pairs = sorted(
        (
            (frequencies[a, b], found.tasks[a], found.tasks[b])
            for a in range(count)
            for b in range(a)
        ),
        reverse=True,
    )
    most = ", ".join(f"{a} and {b} {100 * f:.0f} %" for f, a, b in pairs[:3])
    return ReportFigure(
        name,
        f"Which tasks belong together, by {found.strategy}",
        f"Clustered heat map of {count} tasks. The pairs that share most often: {most}.",
        "How often two tasks use the same weight, over all units of "
        f"{run_count(len(found.records))}. The tree joins tasks that share often (average "
        "linkage).",
        figure,
        wide=count > 25,
    )
