"""A figure shows which weight every task uses at every unit, over the iterations."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.colors import ListedColormap

from mtl_framework import FinishedRun
from mtl_framework.plotting import ReportFigure, colour_of, new_figure, shortened, style

_MOST_ROWS = 64


def figures(runs: Sequence[FinishedRun]) -> Iterator[ReportFigure]:
    """Draw the first finished run of every setting that writes its assignment down."""
    shown: set[str] = set()
    for record in sorted(runs, key=lambda record: record.seed):
        rows = record.history.metrics.get("assignment", ())
        assignment = record.result and record.result.assignment
        if not rows or not assignment or record.strategy in shown:
            continue
        if len(assignment.units) * len(assignment.tasks) <= _MOST_ROWS:
            shown.add(record.strategy)
            yield _course(record, assignment.units, assignment.tasks)


def _course(record: FinishedRun, units: Sequence[str], tasks: Sequence[str]) -> ReportFigure:
    rows = record.history.metrics["assignment"]
    steps = np.array([iteration for iteration, _ in rows])
    course = np.array([value for _, value in rows]).reshape(len(rows), -1).T
    changes = np.flatnonzero((course != course[:, -1:]).any(0))
    settled = int(steps[changes[-1] + 1]) if len(changes) else int(steps[0])
    count = int(course.max()) + 1
    with style():
        figure = new_figure(6.4, 1.3 + 0.17 * len(course))
        axes = figure.subplots()
        edges = np.concatenate([[0], steps])
        axes.pcolormesh(
            edges, np.arange(len(course) + 1), course, vmin=0, vmax=count, alpha=0.85,
            cmap=ListedColormap([colour_of(number) for number in range(count)]),
        )  # fmt: skip
        for row in range(1, len(course)):
            axes.axhline(row, color="white", linewidth=0.6 if row % len(tasks) else 3)
        names = [f"{unit}  {task}" for unit in shortened(units) for task in shortened(tasks)]
        axes.set_yticks(np.arange(len(course)) + 0.5, names, fontsize=7)
        axes.set_ylim(len(course), 0)
        axes.set_xlabel("iteration")
        axes.locator_params("x", integer=True)
        axes.grid(False)
    return ReportFigure(
        re.sub(r"[^A-Za-z0-9]+", "-", f"{record.strategy}-assignment").strip("-"),
        f"Assignment over time of {record.strategy}",
        f"Bars, one for each of {len(units)} units and {len(tasks)} tasks, coloured by the most "
        f"probable weight; nothing changes after iteration {settled}.",
        "The most probable weight of every task at every unit: within a unit, tasks of one colour "
        f"share it. Seed {record.seed}.",
        figure,
    )
