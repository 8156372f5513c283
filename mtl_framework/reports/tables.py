"""Analysed runs are shown as tables in the terminal."""

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from ..data.metrics.shown import decimals
from ..support.terminal import Column, fitted_table
from .analysis import Analysis, Row
from .controls import Controls
from .stats import Spread

_MOST_TASKS = 6  # with columns of their own, where metrics differ


def print_analyses(analyses: Sequence[Analysis], console: Console) -> None:
    """Print the table of every group, and below it notes on what it cannot tell."""
    for analysis in analyses:
        console.print(analysis_table(analysis, console.width))
        for note in analysis.notes:
            console.print(f"note: {note}", markup=False, soft_wrap=True)
        for controls in analysis.controls:
            console.print()
            console.print(controls_table(analysis, controls, console.width))
            console.print(controls.verdict, markup=False, soft_wrap=True)
        console.print()


def analysis_table(analysis: Analysis, width: int) -> RenderableType:
    """Make a group's table with its caption; costs are left out first if it is too wide."""
    group = analysis.group
    shown = group.tasks[:_MOST_TASKS] if group.mixed else ()
    overall = [group.unit if group.higher else "error", "pooled"]
    errors = [f"{task}\n{group.metrics[task]}" for task in shown] or overall
    every = any(row.delta_m_all is not None for row in analysis.rows)
    # where metrics differ, Δm stands for all tasks, and the last tasks may go
    late = dict.fromkeys(errors[1:], 1) if group.mixed else {"pooled": 3}
    columns = [
        Column("strategy"),
        Column("runs", right=True, importance=2),
        *(Column(name, right=True, importance=late.get(name, 0)) for name in errors),
        Column("Δm %", right=True, importance=0 if group.mixed else 1),
        *([Column("Δm all %", right=True, importance=3)] if every else []),
        Column("trained", right=True, importance=5),
        Column("deployed", right=True, importance=4),
        Column("GMACs\na step", right=True, importance=6),
        Column("seconds", right=True, importance=7),
        Column("MiB", right=True, importance=8),
    ]
    rows: list[list[str | Text]] = []
    for row in analysis.rows:
        mean, delta = with_sd(row.error_mean, group.unit), with_sd(row.delta_m, signed=True)
        style = "bold" if row.best else ""
        figures: list[str | Text]
        if group.mixed:
            each = (with_sd(row.per_task.get(task), group.metrics[task]) for task in shown)
            figures = [*each, Text(delta, style)]
        else:
            figures = [Text(mean, style), with_sd(row.error_pooled, group.unit), delta]
        if every:
            figures.append(with_sd(row.delta_m_all, signed=True))
        sizes, times = (row.trained, row.deployed), (row.seconds, row.memory)
        costs = [mean_of(size, ",.0f") for size in sizes]
        costs += [mean_of(row.gmacs, ".3g"), *(mean_of(time, ",.0f") for time in times)]
        rows.append([row.strategy, runs_text(row), *figures, *costs])
    return fitted_table(
        columns, rows, width, title=Text(f"{group.suite} · {group.networks}"),
        caption=Text(analysis.caption), caption_justify="left", title_justify="left",
    )  # fmt: skip


def controls_table(analysis: Analysis, controls: Controls, width: int) -> RenderableType:
    """Show the runs that learned an assignment, and their controls, within ``width``."""
    columns = [
        Column("runs are"),
        Column("runs", right=True, importance=2),
        Column(analysis.group.unit, right=True),
        Column("p (Holm) that the error is not smaller than", importance=1, prose=True),
    ]
    rows = []
    for row in controls.rows:
        runs = str(row.runs) if row.done == row.runs else f"{row.done}/{row.runs}"
        asked = [f"{q.other}: {q.p_holm:.3g}" for q in controls.questions if q.better == row.kind]
        rows.append(
            [row.kind, runs, with_sd(row.error, analysis.group.unit), ", ".join(asked) or "–"]
        )
    title = Text(f"controls of {controls.strategy}")
    return fitted_table(columns, rows, width, title=title, title_justify="left")


def with_sd(found: Spread | None, label: str = "%", signed: bool = False) -> str:
    """Write mean and deviation, as ``12.80 ± 0.16``; a dash where nothing is known.

    Args:
        found: mean and deviation; a single number has no deviation.
        label: the metric's label, which decides the decimals.
        signed: whether positive means get a sign.
    """
    if found is None:
        return "–"
    digits = decimals(found.mean, label)
    mean = f"{found.mean:{'+' if signed else ''}z.{digits}f}"
    return mean if found.sd is None else f"{mean} ± {found.sd:.{digits}f}"


def mean_of(found: Spread | None, form: str) -> str:
    """Write the mean without its deviation; a dash where there is none."""
    return "–" if found is None else format(found.mean, form)


def runs_text(row: Row) -> str:
    """Say how many runs the figures come from, e.g. ``5`` or ``4/5, 1 failed``."""
    if row.done == row.runs:
        return str(row.runs)
    return f"{row.done}/{row.runs}" + (f", {row.failed} failed" if row.failed else "")
