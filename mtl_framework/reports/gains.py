"""A figure shows where sharing helps and where it hurts: every task's gain over no sharing."""

import numpy as np

from ..plugins.report_figure import ReportFigure
from .analysis import Analysis
from .figure import INK, MARKERS, colour_of, new_figure, shortened, style


def task_gains(analysis: Analysis) -> ReportFigure | None:
    """Draw the relative gain of every task by every strategy; ``None`` without a baseline."""
    rows = [
        (position, row)
        for position, row in enumerate(analysis.rows)
        if row.strategy != analysis.baseline and any(row.delta_m_per_task.values())
    ]
    if analysis.baseline is None or not rows:
        return None
    tasks = sorted(
        analysis.group.tasks,
        key=lambda t: float(
            np.mean([g.mean for _, r in rows if (g := r.delta_m_per_task[t])] or 0)
        ),
    )
    with style():
        figure = new_figure(7, 1.4 + len(tasks) * max(0.2, 0.1 * len(rows) + 0.04))
        axes = figure.subplots()
        step = 0.7 / max(len(rows), 1)
        for place, (position, row) in enumerate(rows):
            offset = (place - (len(rows) - 1) / 2) * step
            known = [(n, g) for n, t in enumerate(tasks) if (g := row.delta_m_per_task[t])]
            axes.errorbar(
                [g.mean for _, g in known],
                [n + offset for n, _ in known],
                xerr=[g.sd or 0 for _, g in known],
                linestyle="none",
                marker=MARKERS[position % len(MARKERS)],
                markersize=5,
                color=colour_of(position),
                elinewidth=1,
                label=row.strategy,
            )
        left, right = axes.get_xlim()
        left, right = min(left, -0.05 * right), max(right, -0.05 * left)
        axes.axvspan(left, 0, color=colour_of(3), alpha=0.08, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_xlim(left, right)
        axes.set_yticks(range(len(tasks)), shortened(tasks))
        axes.tick_params(axis="y", length=0, labelsize=8 if len(tasks) <= 25 else 7)
        axes.set_ylim(-0.6, len(tasks) - 0.4)
        what = "figure" if analysis.group.higher else "error"
        axes.set_xlabel(f"← worse    gain over {analysis.baseline} (% of its {what})    better →")
        figure.legend(loc="outside upper left", ncols=min(4, len(rows)))
    worse = []
    for _, row in rows:
        gains = [gain for task in tasks if (gain := row.delta_m_per_task[task])]
        worse.append(f"{row.strategy} on {sum(gain.mean < 0 for gain in gains)}")
    return ReportFigure(
        "gains",
        "Where transfer is negative",
        f"Dot plot of {len(tasks)} tasks. Tasks that are worse than with {analysis.baseline}, "
        f"of {len(tasks)}: {', '.join(worse)}.",
        f"Relative gain of every task over {analysis.baseline}: mean and one sample standard "
        "deviation over seeds. The shaded side is negative transfer.",
        figure,
    )
