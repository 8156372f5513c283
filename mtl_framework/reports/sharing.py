"""A figure shows the sharing of one run: which tasks use which weight of every unit."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..plugins.report_figure import ReportFigure
from ..runs.records import Group
from .assignments import Assignments, clustered_order, pair_frequencies
from .figure import INK, MUTED, PAPER, bare, colour_of, new_figure, shortened, style, tick_rotation
from .middle import middle_run


def sharing_map(group: Group, found: Assignments, name: str) -> ReportFigure:
    """Draw units x tasks of the run with the middle error, coloured by weight."""
    number = middle_run(found.records)
    record = found.records[number]
    weights = found.weights[number]
    order = clustered_order(pair_frequencies(weights[None]))
    weights = weights[:, order]
    tasks = [found.tasks[n] for n in order]
    with style():
        crowded = len(tasks) > 12
        figure = new_figure(
            min(max(4.5, 1.8 + 0.62 * len(tasks)), 15) if not crowded else 1.8 + 0.24 * len(tasks),
            1.1 + 0.5 * len(found.units) + (0.5 if crowded else 0),
        )
        axes = figure.subplots()
        for unit, row in enumerate(weights.tolist()):
            _draw_unit(axes, unit, row, labels=not crowded)
        axes.set_xlim(0, len(tasks))
        axes.set_ylim(len(found.units), 0)
        axes.set_xticks(
            np.arange(len(tasks)) + 0.5,
            shortened(tasks),
            **tick_rotation(len(tasks)),
        )
        axes.set_yticks(np.arange(len(found.units)) + 0.5, shortened(found.units))
        axes.set_xlabel("task")
        axes.set_ylabel("unit, from input (top) to output")
        bare(axes)
    return ReportFigure(
        name,
        f"What {found.strategy} shares",
        f"Grid of {len(found.units)} units and {len(tasks)} tasks. "
        + _in_words(weights, found, tasks),
        f"Run with the middle error of {len(found.records)} (seed {record.seed}). Tasks of one "
        "colour and line in a row use the same weight; grey: a weight of its own.",
        figure,
        wide=crowded,
    )


def _draw_unit(axes: Axes, unit: int, row: Sequence[int], labels: bool) -> None:
    groups = {w: [t for t, x in enumerate(row) if x == w] for w in dict.fromkeys(row)}
    shared = [members for members in groups.values() if len(members) > 1]
    for weight, members in groups.items():
        alone = len(members) == 1
        colour = MUTED if alone else colour_of(shared.index(members))
        for task in members:
            axes.add_patch(
                Rectangle(
                    (task + 0.04, unit + 0.06),
                    0.92,
                    0.88,
                    facecolor=colour,
                    edgecolor="none",
                    alpha=0.18 if alone else 0.55,
                )
            )
            if labels:
                axes.text(task + 0.12, unit + 0.82, str(weight), fontsize=6, color=INK)
    for level, members in enumerate(shared):
        height = unit + 0.06 + 0.88 * (level + 1) / (len(shared) + 1)
        colour = colour_of(level)
        centres = [task + 0.5 for task in members]
        axes.plot([centres[0], centres[-1]], [height] * 2, color=colour, linewidth=2.2, zorder=3)
        axes.plot(
            centres, [height] * len(centres), linestyle="none", marker="o", markersize=5,
            markerfacecolor=colour, markeredgecolor=PAPER, markeredgewidth=0.8, zorder=4,
        )  # fmt: skip


def _in_words(weights: np.ndarray, found: Assignments, tasks: Sequence[str]) -> str:
    texts = []
    for unit, row in zip(found.units, weights.tolist(), strict=True):
        groups = [
            [t for t, x in zip(tasks, row, strict=True) if x == w] for w in dict.fromkeys(row)
        ]
        shared = [g for g in groups if len(g) > 1]
        if len(tasks) <= 8 and len(found.units) <= 12:
            texts.append(f"{unit}: {'; '.join(' with '.join(g) for g in shared) or 'none share'}")
        else:
            texts.append(f"{unit}: {len(groups)} weights in use")
    return ". ".join(texts) + "."
