"""The groups of a run are drawn as trees, in which every task has its place."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mtl_branching.figures import measured_figures
from mtl_branching.tree import grouping_tree

from mtl_framework import RunRecord
from mtl_framework.networks.result import Result
from mtl_framework.plotting import ReportFigure
from mtl_framework.reports.figure import png
from mtl_framework.testing import Trial


def leaves(figure: ReportFigure) -> list[str]:
    """The names at the ends of the tree, from top to bottom."""
    return [label.get_text() for label in figure.figure.axes[0].get_yticklabels()]


def trunks(figure: ReportFigure, unit: int) -> list[float]:
    """The heights of the lines that begin at a unit, and how many of them there are."""
    lines = [np.asarray(line.get_xydata()) for line in figure.figure.axes[0].get_lines()]
    return sorted(float(line[0, 1]) for line in lines if line[:, 0].tolist() == [unit, unit + 1])


def drawn(tasks: list[str], row: list[int], units: int = 4) -> ReportFigure:
    names = [f"layer{number}" for number in range(units)]
    assignment = SimpleNamespace(units=names, tasks=tasks, weights=[row] * units)
    record: Any = SimpleNamespace(seed=0, result=SimpleNamespace(assignment=assignment))
    return grouping_tree(record, {}, 3, "task-grouping-0", "task_grouping")


def test_a_run_s_groups_are_drawn_below_their_affinities(tmp_path: Path) -> None:
    trial = Trial("task_grouping", {"measure": 0.5, "every": 1, "groups": 2})
    trial.start(tmp_path / "run").execute()
    result = Result.load(tmp_path / "run")
    assert result.assignment is not None
    record = RunRecord("measured", "trial", "trial", 0, tmp_path / "run", 6, "done", result)
    matrix, tree = measured_figures([record])
    assert (matrix.name, tree.name) == ("task-grouping-0", "task-grouping-0-tree")
    tasks = result.assignment.tasks
    assert sorted(leaves(tree)) == sorted(tasks)
    assert all(tree.alt.count(task) == 1 for task in tasks)
    groups = len(set(result.assignment.weights[0]))
    assert len(trunks(tree, 0)) == groups
    assert f"{groups} groups, each with a copy of every unit" in tree.caption
    assert png(tree.figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("many", [3, 5, 10])
def test_groups_are_next_to_each_other_and_long_names_are_told_apart(many: int) -> None:
    names = [f"a task with a name as long as this, {n:2}" for n in range(many)]
    row = [n % 3 for n in range(many)]
    figure = drawn(names, row)
    order = sorted(range(many), key=lambda task: (row[task], task))
    assert leaves(figure) == [names[task] for task in order]
    assert all(figure.alt.count(name) == 1 for name in names)
    heights = [[order.index(task) for task in range(many) if row[task] == g] for g in range(3)]
    wanted = [sum(own) / len(own) for own in heights]
    for unit in range(3):
        assert trunks(figure, unit) == wanted
    assert len(trunks(figure, 3)) == many  # at the last unit they part into tasks


def test_one_group_is_one_trunk() -> None:
    figure = drawn(["one", "other"], [0, 0])
    assert trunks(figure, 0) == [0.5]
    assert "One group: its tasks share every unit." in figure.caption
    assert "layer0 to layer3: one, other." in figure.alt
