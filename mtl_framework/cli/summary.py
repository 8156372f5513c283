"""The terminal shows what a finished run has found."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.text import Text

from ..data.metrics.shown import shown_value
from ..networks.evaluation import SplitMetrics, _most, split_text
from ..networks.result import Assignment, Result
from ..networks.result_view import COLOURS, LETTERS, by_appearance
from ..support.terminal import Column, fitted_table

_WIDE = 30


def print_summary(result: Result, directory: Path, console: Console) -> None:
    """Print figures, the sharing that was learned, where the run lies and what to do next."""
    console.print(task_table(result, console.width))
    for line in outcome_lines(result):
        console.print(line, markup=False, soft_wrap=True)
    for table in metric_tables(result.figures, result.metrics, console.width):
        console.print()
        console.print(table)
    if result.backbones is not None:
        shown = ", ".join(f"{name} for {task}" for task, name in _most(result.backbones))
        console.print(f"networks of the tasks' own: {shown}", markup=False, soft_wrap=True)
    counts = result.parameters
    console.print(
        f"parameters: {counts.trained:,} trained, {counts.deployed:,} needed by the final networks"
    )
    if result.assignment is not None:
        console.print()
        console.print(sharing_grid(result.assignment, console.width))
    console.print()
    console.print(f"run: {directory} ({_duration(result.seconds)})", markup=False, soft_wrap=True)
    again = f"mtl run --config {shlex.quote(str(directory / 'config.yaml'))}"
    console.print(f"next: {again} --seed {result.seed + 1}", markup=False, soft_wrap=True)
    console.print(f"      {again} --strategy NAME", markup=False, soft_wrap=True)
    console.print("      mtl list strategies")


def task_table(result: Result, width: int) -> RenderableType:
    """Show every task's metric on validation and test examples, their mean, the pooled one.

    Where the table is wider than ``width``, columns go: first the numbers of tasks, then the
    validation, then the metrics.
    """
    splits = {"test": result.test}
    if result.validation is not None:
        splits = {"validation": result.validation, **splits}
    metrics = list(dict.fromkeys(result.metrics.values()))
    unit = metrics[0] if len(metrics) == 1 else "metric"
    columns = [
        Column("#", right=True, importance=3, style="dim"),
        Column("task"),
        Column("metric", importance=1),
        *(
            Column(f"{split} {unit}", right=True, importance=0 if split == "test" else 2)
            for split in splits
        ),
    ]
    rows: list[list[str | Text]] = [
        [
            str(number),
            task,
            metric,
            *(shown_value(split.per_task[task], metric) for split in splits.values()),
        ]
        for number, (task, metric) in enumerate(result.metrics.items(), 1)
    ]
    for label, style, values in (
        ("mean over tasks", "bold", [split.error_mean for split in splits.values()]),
        ("pooled over examples", "", [split.error_pooled for split in splits.values()]),
    ):
        if all(value is not None for value in values):
            figures = [Text(shown_value(value, metrics[0]), style) for value in values]
            rows.append(["", Text(label, style), "", *figures])
    if len(metrics) == 1:
        del columns[2]
        rows = [[*row[:2], *row[3:]] for row in rows]
    return fitted_table(columns, rows, width)


def outcome_lines(result: Result) -> list[str]:
    """Say which networks and weights the figures are of, and why a run ended early."""
    lines = []
    if result.ended is not None:
        lines.append(f"ended after {result.iterations} iterations: {result.ended}")
    if result.weights == "averaged":
        lines.append("figures are those of averaged weights (training.average)")
    if result.raw_test is not None:
        raw = split_text(result.raw_test, result.metrics)
        lines.append(f"raw weights after the last step, test: {raw}")
    if result.reported == "best" and result.best is not None:
        best = split_text(result.best.test, result.metrics)
        where = f"those of iteration {result.best.iteration}, which validation prefers"
        lines.append(f"reported networks: {where}, test: {best} (training.report)")
    return lines


def metric_tables(split: SplitMetrics, main: Mapping[str, str], width: int) -> list[RenderableType]:
    """Show all metrics of test examples, one table for all tasks with the same metrics.

    Args:
        split: metrics of the test examples.
        main: label of every task's main metric.
        width: width of the terminal, in characters.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for task, metrics in split.metrics.items():
        if len(metrics) > 1:
            groups.setdefault(tuple(metrics), []).append(task)
    tables = []
    for labels, tasks in groups.items():
        columns = [Column("test"), *(
            Column(label, right=True, importance=0 if label == main[tasks[0]] else n + 1)
            for n, label in enumerate(labels)
        )]  # fmt: skip
        rows: list[list[str | Text]] = [
            [task, *(shown_value(split.metrics[task][label], label) for label in labels)]
            for task in tasks
        ]
        tables.append(fitted_table(columns, rows, width))
    return tables


def sharing_grid(assignment: Assignment, width: int) -> RenderableType:
    """Draw units by tasks; in a row, tasks with the same letter and colour share the unit.

    Letters count the weights of a row from the left, so that equal rows share alike: the weights
    ``(2, 0, 2)`` are shown as ``A B A``. Up to 30 tasks get three columns each, more get one; what
    does not fit ``width`` follows below.
    """
    tasks = len(assignment.tasks)
    cell = 3 if tasks <= _WIDE else 1
    label = min(max(len(name) for name in assignment.units), max(8, width // 3))
    per_block = max(1, (width - label - 1) // cell)
    blocks = []
    for first in range(0, tasks, per_block):
        shown = range(first, min(first + per_block, tasks))
        lines = [_heading(label, cell, shown)]
        for name, weights in zip(assignment.units, assignment.weights, strict=True):
            line = Text(f"{_shortened(name, label):>{label}} ")
            numbers = by_appearance(weights)
            for task in shown:
                colour, ink = COLOURS[numbers[task] % len(COLOURS)]
                letter = LETTERS[numbers[task] % len(LETTERS)]
                line.append(f"{letter:^{cell}}", Style(color=ink, bgcolor=colour))
            lines.append(line)
        blocks.append(Text("\n").join(lines))
    title = Text("sharing: in each row, tasks with the same letter use the same weights")
    return Group(title, *blocks)


def _heading(label: int, cell: int, tasks: range) -> Text:
    """Write the numbers of the tasks; in narrow grids only every tenth."""
    text = Text(" " * (label + 1), style="dim")
    if cell > 1:
        for task in tasks:
            text.append(f"{task + 1:^{cell}}")
        return text
    marks = [" "] * len(tasks)
    for position, task in enumerate(tasks):
        number = str(task + 1)
        fits = position + len(number) <= len(marks)
        if (position == 0 or (task + 1) % 10 == 0) and fits:
            marks[position : position + len(number)] = number
    text.append("".join(marks))
    return text


def _shortened(name: str, width: int) -> str:
    return name if len(name) <= width else f"…{name[-(width - 1) :]}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
