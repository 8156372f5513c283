"""A report shows the routes at the end, and how far tasks have collapsed on one block."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from mtl_framework import FinishedRun
from mtl_framework.plotting import (
    INK,
    MUTED,
    SEQUENTIAL,
    ReportFigure,
    bare,
    colour_of,
    middle_runs,
    new_figure,
    shortened,
    style,
    tick_rotation,
)

_MOST_NUMBERED = 400  # cells that have room for numbers


def route_figures(runs: Sequence[FinishedRun]) -> Iterator[ReportFigure]:
    """Draw two figures for each label of finished runs, of the run with the middle error."""
    for number, (label, record, count) in enumerate(middle_runs(runs, ["routing_networks"])):
        state = record.checkpoint()
        yield routes_figure(record, state, count, f"routes-{number}", label)
        if record.history.metrics.get("largest"):
            blocks = state["agents"]["pi"].shape[-1]
            yield collapse_figure(record, blocks, count, f"collapse-{number}", label)


def routes_figure(
    record: FinishedRun, state: Mapping[str, Any], count: int, name: str, label: str
) -> ReportFigure:
    """Draw the block of every task at every unit, the paler the less probable it is.

    Args:
        record: the run that is drawn.
        state: saved state of the strategy.
        count: number of runs that it stands for.
        name: name of the figure.
        label: name of the run's setting in the report.
    """
    assert record.result is not None
    assert record.result.assignment is not None
    found = record.result.assignment
    routes = np.array(found.weights).T  # (tasks, units)
    sure = state["agents"]["pi"].amax(-1).numpy().T
    tasks, units = routes.shape
    with style():
        figure = new_figure(2.4 + 0.5 * units, 1.3 + 0.26 * tasks)
        axes = figure.subplots()
        _cells(axes, routes, sure)
        axes.set_xticks(range(units), shortened(list(found.units), 14), **tick_rotation(units))
        axes.set_yticks(range(tasks), shortened(list(found.tasks), 18))
        bare(axes)
    words = [
        f"{task}: {', '.join(str(block + 1) for block in row)}."
        for task, row in zip(found.tasks, routes.tolist(), strict=True)
    ]
    same = sum(len(set(row)) == 1 for row in found.weights)
    return ReportFigure(
        name,
        f"The routes that {label} has chosen",
        f"Blocks of {tasks} tasks, unit by unit. " + " ".join(words),
        f"Run with the middle error of {count} (seed {record.seed}). The most probable block of "
        f"every task at every unit, from the input (left) to the heads; in a column, tasks of one "
        f"number share the unit. A pale block is an undecided one. In {same} of {units} units all "
        "tasks use one block.",
        figure,
        wide=units > 14,
    )


def _cells(axes: Axes, routes: np.ndarray, sure: np.ndarray) -> None:
    cells = np.array([[to_rgba(colour_of(block)) for block in row] for row in routes.tolist()])
    shade = 0.25 + 0.75 * sure[..., None]
    cells[..., :3] = shade * cells[..., :3] + (1 - shade)
    axes.imshow(cells, aspect="auto")
    if routes.size <= _MOST_NUMBERED:
        for (task, unit), block in np.ndenumerate(routes):
            light = cells[task, unit, :3] @ (0.3, 0.59, 0.11) > 0.5
            colour = "black" if light else "white"
            axes.text(
                unit, task, str(block + 1), ha="center", va="center", fontsize=7.5, color=colour
            )


def collapse_figure(
    record: FinishedRun, blocks: int, count: int, name: str, label: str
) -> ReportFigure:
    """Draw, for every unit, the share of the tasks on its most used block over the iterations.

    Args:
        record: the run that is drawn.
        blocks: K, the number of blocks of every unit.
        count: number of runs that it stands for.
        name: name of the figure.
        label: name of the run's setting in the report.
    """
    assert record.result is not None
    assert record.result.assignment is not None
    units, tasks = record.result.assignment.units, len(record.result.assignment.tasks)
    rows = record.history.metrics["largest"]
    steps = np.array([iteration for iteration, _ in rows])
    least = 100 * -(-tasks // blocks) / tasks
    course = 100 * np.array([value for _, value in rows]).reshape(len(rows), -1)
    with style():
        figure = new_figure(6.4, 2.3 + 0.22 * len(units))
        above, below = figure.subplots(
            2, 1, sharex=True, height_ratios=[1.3, 0.3 + 0.22 * len(units)]
        )
        few = "o" if len(steps) < 3 else None  # a line through one point is none
        above.plot(steps, course.mean(1), color=INK, linewidth=2, marker=few)
        above.axhline(least, color=MUTED, linestyle=":", label="tasks as far apart as can be")
        above.set_ylim(0, 104)
        above.set_ylabel("mean %")
        figure.legend(loc="outside upper right")
        edges = np.concatenate([[0], steps])
        image = below.pcolormesh(
            edges,
            np.arange(len(units) + 1),
            course.T,
            cmap=SEQUENTIAL,
            vmin=min(least, 99),
            vmax=100,
        )
        below.set_yticks(np.arange(len(units)) + 0.5, shortened(list(units), 18), fontsize=7.5)
        below.set_ylim(len(units), 0)
        below.set_xlabel("iteration")
        below.grid(False)
        bar = figure.colorbar(image, ax=below, pad=0.02, aspect=12)
        bar.set_label("% of tasks", fontsize=8)
        bar.outline.set_visible(False)
    last = [f"{unit}: {value:.0f} %" for unit, value in zip(units, course[-1], strict=True)]
    return ReportFigure(
        name,
        f"How far tasks of {label} have collapsed on one block",
        f"Mean, and bars for each of {len(units)} units, over the iterations. At the end "
        + ", ".join(last),
        f"Run with the middle error of {count} (seed {record.seed}). Share of the tasks whose most "
        "probable path uses the most used block of a unit: 100 % is full sharing, "
        f"with {tasks} tasks and {blocks} blocks, it is {least:.0f} % at the least. Above, the "
        "mean of the units.",
        figure,
    )
