"""A figure of the report shows the tree of tasks: which share a unit, from input to heads."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes

from mtl_framework import FinishedRun
from mtl_framework.plotting import (
    PALETTE,
    ReportFigure,
    bare,
    new_figure,
    shortened,
    style,
    tick_rotation,
)

_LONGEST, _USUAL = 40, 18  # letters of a task's name, and how many of them fit without more room
_PER_LETTER, _WIDE = 0.085, 10.5  # inches


def tree_figure(
    record: FinishedRun, state: Mapping[str, Any], count: int, name: str, label: str
) -> ReportFigure:
    """Draw the tree that a network has grown into.

    Args:
        record: the run that is drawn.
        state: saved state of the strategy.
        count: number of finished runs of the setting, of which ``record`` has the middle error.
        name: name of the figure.
        label: what the report calls the setting of the run.
    """
    assert record.result is not None
    assert record.result.assignment is not None
    units = record.result.assignment.units
    splits = [f"{units[unit]} at iteration {step}" for step, unit in state["history"]]
    told = f"Splits: {', '.join(splits)}." if splits else "Nothing has split."
    return _drawn(record, count, name, f"The tree that {label} has grown", told)


def grouping_tree(
    record: FinishedRun, state: Mapping[str, Any], count: int, name: str, label: str
) -> ReportFigure:
    """Draw the trunk of every group, and the group's tasks at its end.

    Args:
        record: the run that is drawn.
        state: saved state of the strategy, which the tree does not need.
        count: number of finished runs of the setting, of which ``record`` has the middle error.
        name: name of the figure.
        label: what the report calls the setting of the run.
    """
    assert record.result is not None
    assert record.result.assignment is not None
    groups = len(set(record.result.assignment.weights[0]))
    told = (
        f"{groups} groups, each with a copy of every unit."
        if groups > 1
        else "One group: its tasks share every unit."
    )
    return _drawn(record, count, f"{name}-tree", f"The trunks of the groups ({label})", told)


def _drawn(record: FinishedRun, count: int, name: str, title: str, told: str) -> ReportFigure:
    """Draw the assignment of a run, which is a tree or several, and say what was told of it."""
    assert record.result is not None
    assert record.result.assignment is not None
    assignment = record.result.assignment
    weights = [list(row) for row in assignment.weights]
    order = leaf_order(weights)
    names = shortened(assignment.tasks, _LONGEST)
    room = _PER_LETTER * max(0, max(map(len, names)) - _USUAL)
    width = 2.8 + 0.55 * len(weights) + room
    with style():
        figure = new_figure(width, 1.3 + 0.3 * len(order))
        draw_tree(figure.subplots(), weights, order, assignment.units, names)
    words = "; ".join(_told(weights, order, assignment.units, assignment.tasks))
    return ReportFigure(
        name,
        title,
        f"Tree of {len(order)} tasks. {words}.",
        f"Run with the middle error of {count} (seed {record.seed}). Units from the input (left) "
        f"to the heads; lines are as wide as tasks are many. {told}",
        figure,
        wide=width > _WIDE,
    )


def _told(
    weights: Sequence[list[int]], order: Sequence[int], units: Sequence[str], tasks: Sequence[str]
) -> Iterator[str]:
    """Yield the groups of tasks of units in a row that have the same ones."""
    rows = [
        " | ".join(
            ", ".join(tasks[task] for task in order if row[task] == number)
            for number in dict.fromkeys(row[task] for task in order)
        )
        for row in weights
    ]
    for groups, several in groupby(zip(rows, units, strict=True), key=lambda pair: pair[0]):
        names = [unit for _, unit in several]
        yield f"{' to '.join(dict.fromkeys((names[0], names[-1])))}: {groups}"


def leaf_order(weights: Sequence[Sequence[int]]) -> list[int]:
    """Return the tasks in an order in which those of every branch are next to each other.

    Args:
        weights: for every unit the number of the weight that each task uses. They are a tree: tasks
            that use different weights at a unit do so at all later units.
    """
    tasks = range(len(weights[0]))
    return sorted(tasks, key=lambda task: [row[task] for row in weights] + [task])


def draw_tree(
    axes: Axes,
    weights: Sequence[Sequence[int]],
    order: Sequence[int],
    units: Sequence[str],
    tasks: Sequence[str],
) -> None:
    """Draw branches as lines from unit to unit, and the tasks' names at their ends."""
    place = {task: float(position) for position, task in enumerate(order)}

    def height(unit: int, task: int) -> float:
        if unit == len(weights):
            return place[task]
        together = [place[t] for t in order if weights[unit][t] == weights[unit][task]]
        return sum(together) / len(together)

    for unit in range(len(weights)):
        drawn = set()
        for task in order:
            ends = (height(unit, task), height(unit + 1, task))
            if ends in drawn:
                continue
            drawn.add(ends)
            row = weights[unit + 1] if unit + 1 < len(weights) else list(range(len(order)))
            many = sum(row[t] == row[task] for t in order)
            axes.plot((unit, unit + 1), ends, color=PALETTE[0], lw=1 + 5 * many / len(order),
                      solid_capstyle="round")  # fmt: skip
        for task in order:
            axes.plot(unit, height(unit, task), "o", color=PALETTE[0], markersize=6)
    axes.set_xticks(range(len(units)), shortened(list(units), 14), **tick_rotation(len(units)))
    axes.yaxis.tick_right()
    axes.set_yticks(range(len(order)), [tasks[task] for task in order])
    axes.invert_yaxis()
    axes.set_xlim(-0.3, len(units) + 0.05)
    bare(axes)
