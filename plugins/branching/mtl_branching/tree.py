"""A figure of the report shows the tree of tasks: which share a unit, from input to heads."""

from collections.abc import Mapping, Sequence
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
    assignment = record.result.assignment
    weights = [list(row) for row in assignment.weights]
    order = leaf_order(weights)
    with style():
        figure = new_figure(2.8 + 0.55 * len(weights), 1.3 + 0.3 * len(order))
        draw_tree(figure.subplots(), weights, order, assignment.units, assignment.tasks)
    splits = [f"{assignment.units[unit]} at iteration {step}" for step, unit in state["history"]]
    words = []
    for unit, row in zip(assignment.units, weights, strict=True):
        groups = [
            ", ".join(assignment.tasks[task] for task in order if row[task] == number)
            for number in dict.fromkeys(row[task] for task in order)
        ]
        words.append(f"{unit}: {' | '.join(groups)}")
    return ReportFigure(
        name,
        f"The tree that {label} has grown",
        f"Tree of {len(order)} tasks. " + "; ".join(words) + ".",
        f"Run with the middle error of {count} (seed {record.seed}). Units from the input (left) "
        "to the heads; lines are as wide as tasks are many. "
        + (f"Splits: {', '.join(splits)}." if splits else "Nothing has split."),
        figure,
        wide=len(weights) > 14,
    )


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
    axes.set_yticks(range(len(order)), shortened([tasks[task] for task in order], 18))
    axes.invert_yaxis()
    axes.set_xlim(-0.3, len(units) + 0.05)
    bare(axes)
