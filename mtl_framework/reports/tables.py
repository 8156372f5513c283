"""Tables of analysed runs, for the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .analysis import Analysis, Row
from .stats import Spread

_MOST_TASKS = 6  # with columns of their own, where metrics differ


def print_analyses(analyses: Sequence[Analysis], console: Console) -> None:
    """The table of every group, and below it what it cannot tell."""
    for analysis in analyses:
        console.print(analysis_table(analysis))
        for note in analysis.notes:
            console.print(f"note: {note}", markup=False, soft_wrap=True)
        console.print()


def analysis_table(analysis: Analysis) -> Table:
    """One group's table, with the caption below."""
    title = f"{analysis.group.suite} · {analysis.group.networks}"
    table = Table(
        title=title, box=None, pad_edge=False, header_style="bold", caption=analysis.caption,
        caption_justify="left", title_justify="left",
    )  # fmt: skip
    table.add_column("strategy", overflow="fold")
    shown = analysis.group.tasks[:_MOST_TASKS] if analysis.group.mixed else ()
    errors = [f"{task}\n{analysis.group.metrics[task]}" for task in shown] or ["error", "pooled"]
    for name in ("runs", *errors, "Δm %", "trained", "deployed", "seconds", "MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in analysis.rows:
        mean, delta = with_sd(row.error_mean), with_sd(row.delta_m, signed=True)
        bold = "[bold]{}[/]" if row.best else "{}"
        if analysis.group.mixed:
            figures = [*(with_sd(row.per_task.get(task)) for task in shown), bold.format(delta)]
        else:
            figures = [bold.format(mean), with_sd(row.error_pooled), delta]
        table.add_row(
            row.strategy,
            runs_text(row),
            *figures,
            mean_of(row.trained, ",.0f"),
            mean_of(row.deployed, ",.0f"),
            mean_of(row.seconds, ",.0f"),
            mean_of(row.memory, ",.0f"),
        )
    return table


def with_sd(found: Spread | None, digits: int = 2, signed: bool = False) -> str:
    """``12.80 ± 0.16``; a dash where nothing is known, no deviation where there is one number."""
    if found is None:
        return "–"
    mean = f"{found.mean:{'+' if signed else ''}z.{digits}f}"
    return mean if found.sd is None else f"{mean} ± {found.sd:.{digits}f}"


def mean_of(found: Spread | None, form: str) -> str:
    """The mean alone."""
    return "–" if found is None else format(found.mean, form)


def runs_text(row: Row) -> str:
    """How many runs the figures come from, e.g. ``5`` or ``4/5, 1 failed``."""
    if row.done == row.runs:
        return str(row.runs)
    return f"{row.done}/{row.runs}" + (f", {row.failed} failed" if row.failed else "")
