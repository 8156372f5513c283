"""Figures of the report show what was measured before the sharing was decided."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from mtl_framework import FinishedRun
from mtl_framework.plotting import (
    INK,
    MUTED,
    PALETTE,
    SEQUENTIAL,
    ReportFigure,
    bare,
    middle_runs,
    new_figure,
    shortened,
    style,
    tick_rotation,
)

from .tree import grouping_tree, tree_figure

Draw = Callable[[FinishedRun, Mapping[str, Any], int, str, str], ReportFigure]
_MOST_NUMBERED = 10  # tasks whose cells have room for numbers


def measured_figures(runs: Sequence[FinishedRun]) -> Iterator[ReportFigure]:
    """Yield the figures of each setting of these strategies, of its run of middle test error."""
    kinds: dict[str, tuple[Draw, ...]] = {
        "task_grouping": (affinity_figure, grouping_tree),
        "recon": (conflict_figure,),
        "fafs": (tree_figure,),
    }
    for number, (label, record, count) in enumerate(middle_runs(runs, kinds)):
        assert record.result is not None
        strategy = record.result.strategy
        name = f"{strategy.replace('_', '-')}-{number}"
        state = record.checkpoint()
        yield from (draw(record, state, count, name, label) for draw in kinds[strategy])


def affinity_figure(
    record: FinishedRun, state: Mapping[str, Any], count: int, name: str, label: str
) -> ReportFigure:
    """Draw a heat map of the tasks' affinities, ordered by group, with a frame around each group.

    Args:
        record: the run that is drawn.
        state: saved state of the strategy.
        count: number of finished runs of the setting, of which ``record`` has the middle error.
        name: name of the figure.
        label: what the report calls the setting of the run.
    """
    assert record.result is not None
    assert record.result.assignment is not None
    row = record.result.assignment.weights[0]
    order = sorted(range(len(row)), key=lambda task: (row[task], task))
    mean = (state["total"] / state["count"].clamp(min=1)).numpy()[np.ix_(order, order)]
    names = [record.result.assignment.tasks[task] for task in order]
    groups = [[n for n, task in enumerate(order) if row[task] == g] for g in range(max(row) + 1)]
    with style():
        figure = new_figure(2.6 + 0.5 * len(names), 1.7 + 0.42 * len(names))
        axes = figure.subplots()
        others = np.where(np.eye(len(mean), dtype=bool), np.nan, mean)  # own steps help far more
        image = axes.imshow(others, cmap=SEQUENTIAL, aspect="auto")
        axes.set_xticks(np.arange(len(names)), shortened(names, 14), **tick_rotation(len(names)))
        axes.set_yticks(np.arange(len(names)), shortened(names, 18))
        axes.set_xlabel("its loss")
        axes.set_ylabel("a step for")
        bare(axes)
        for group in groups:
            corner = (group[0] - 0.5, group[0] - 0.5)
            frame = Rectangle(corner, len(group), len(group), fill=False, edgecolor=INK, lw=2)
            axes.add_patch(frame)
        if len(names) <= _MOST_NUMBERED:
            _number(axes, mean, float(np.nanmin(others) + np.nanmax(others)) / 2)
        bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
        bar.set_label("affinity", fontsize=8)
        bar.outline.set_visible(False)
    told = " | ".join(", ".join(names[n] for n in group) for group in groups)
    times = int(state["count"].max())
    return ReportFigure(
        name,
        f"What a step for one task does for the others ({label})",
        f"Heat map of {len(names)} by {len(names)} tasks. Groups: {told}.",
        f"Run with the middle error of {count} (seed {record.seed}). Affinity of the task of a row "
        "to that of a column: the share by which a virtual step of gradient descent for the first "
        "lowers the loss of the second, divided by the step's size; below 0 it raises the loss. "
        f"Mean over {times} measurement{'s' * (times != 1)}. Frames are the groups that were "
        "trained; what a task's own step does is not coloured.",
        figure,
        wide=len(names) > 12,
    )


def _number(axes: Axes, values: np.ndarray, middle: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        colour = INK if row == column else "black" if value > middle else "white"
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=6.5, color=colour)


def conflict_figure(
    record: FinishedRun, state: Mapping[str, Any], count: int, name: str, label: str
) -> ReportFigure:
    """Draw how often gradients conflict in every unit, and how often shuffled gradients do.

    Args:
        record: the run that is drawn.
        state: saved state of the strategy.
        count: number of finished runs of the setting, of which ``record`` has the middle error.
        name: name of the figure.
        label: what the report calls the setting of the run.
    """
    assert record.result is not None
    assert record.result.assignment is not None
    units = list(record.result.assignment.units)
    own = [max(row) > 0 for row in record.result.assignment.weights]
    pairs = state["pairs"].clamp(min=1)
    found = 100 * (state["conflicts"] / pairs).numpy()
    chance = 100 * (state["chance"] / pairs).numpy()
    places = np.arange(len(units))
    colours = [PALETTE[0] if is_own else MUTED for is_own in own]
    with style():
        figure = new_figure(5.6, 1.5 + 0.27 * len(units))
        axes = figure.subplots()
        axes.barh(places, found, color=colours, height=0.7)
        (null,) = axes.plot(chance, places, "D", color=PALETTE[3], markersize=4.5)
        axes.set_yticks(places, shortened(units, 24))
        axes.invert_yaxis()
        axes.set_xlabel("% of pairs of tasks whose gradients conflict")
        axes.set_xlim(0, max(float(found.max()), float(chance.max()), 1.0) * 1.15)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        handles = [Patch(color=PALETTE[0]), Patch(color=MUTED), null]
        labels = ["every task's own", "shared", "shuffled gradients"]
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
    words = [
        f"{u}: {f:.1f} %, by chance {c:.1f} %" for u, f, c in zip(units, found, chance, strict=True)
    ]
    return ReportFigure(
        name,
        f"Where the gradients of tasks conflict ({label})",
        "Bars of conflicts by unit. " + "; ".join(words) + ".",
        f"Run with the middle error of {count} (seed {record.seed}). Share of the pairs of tasks "
        "and steps whose gradients in the unit have a cosine below "
        f"{record.config['strategy']['threshold']:g}, while everything was shared "
        f"({int(pairs.max())} pairs). Diamonds: the same count for gradients whose entries were "
        "shuffled: units with few weights conflict by chance.",
        figure,
    )
