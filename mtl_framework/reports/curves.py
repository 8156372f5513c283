"""Curves show test error, and entropy of the search distribution, against the iteration."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plugins.report_figure import ReportFigure
from ..runs.records import Group, RunRecord
from .figure import MARKERS, colour_of, new_figure, shortened, style

Series = Mapping[int, Sequence[float]]
_MOST_PANELS = 6


def error_curves(group: Group) -> ReportFigure | None:
    """Draw test errors, mean and band over seeds; ``None`` where nothing was evaluated."""
    if group.mixed:
        return _task_curves(group)
    series = {s: _collect([_errors(r) for r in group.done(s)]) for s in group.strategies}
    if not any(series.values()):
        return None
    return ReportFigure(
        "error",
        "Error while training",
        f"Line chart of the mean test {group.unit} against iterations; {_ends(series)}.",
        "Mean over seeds of the error mean over tasks on the test examples; the band is one sample "
        "standard deviation to each side.",
        _chart(series, f"test {group.unit}", 3.8),
    )


def _task_curves(group: Group) -> ReportFigure | None:
    """Draw a panel for each of the first six tasks, in the task's own metric."""
    tasks = group.tasks[:_MOST_PANELS]
    panels = {
        task: {s: _collect([_errors(r, task) for r in group.done(s)]) for s in group.strategies}
        for task in tasks
    }
    if not any(any(series.values()) for series in panels.values()):
        return None
    with style():
        columns = min(len(tasks), 3)
        rows = -(-len(tasks) // columns)
        figure = new_figure(3.2 * columns, 2.7 * rows + 0.3)
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, (task, series) in zip(axes.flat, panels.items(), strict=False):
            _draw(axis, series)
            axis.set_title(shortened([task], 30)[0])
            axis.set_ylabel(f"test {group.metrics[task]}")
        for axis in axes.flat[len(tasks) :]:
            axis.remove()
        _legend(figure, axes.flat[0])
    ends = [
        f"{task}, {name} ends at {_last(found):.2f}"
        for task, series in panels.items()
        for name, found in series.items()
        if found
    ]
    return ReportFigure(
        "error",
        "Error while training",
        f"Line charts of each task's test metric against iterations; {'; '.join(ends)}.",
        "Mean over seeds of each task's metric on the test examples; the band is one sample "
        "standard deviation to each side.",
        figure,
    )


def entropy_curves(group: Group) -> ReportFigure | None:
    """Draw the metric ``entropy``, mean and band over seeds; ``None`` if no run has it."""
    series = {s: _collect([_metric(r, "entropy") for r in group.done(s)]) for s in group.strategies}
    if not any(series.values()):
        return None
    return ReportFigure(
        "entropy",
        "How decided the sharing is",
        f"Line chart of the search distribution's entropy against iterations; {_ends(series)}.",
        "Mean entropy of the choices of all units and tasks; 0 where all is decided. Band: one "
        "sample standard deviation over seeds.",
        _chart(series, "entropy (nats)", 2.8),
    )


def _chart(series: Mapping[str, Series], label: str, height: float) -> Figure:
    with style():
        figure = new_figure(7, height)
        axes = figure.subplots()
        _draw(axes, series)
        axes.set_ylabel(label)
        _legend(figure, axes)
    return figure


def _legend(figure: Figure, axes: Axes) -> None:
    """Put the legend above the axes, where it covers no line."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)))


def _ends(series: Mapping[str, Series]) -> str:
    ends = [f"{name} ends at {_last(found):.2f}" for name, found in series.items() if found]
    return "; ".join(ends)


def _errors(record: RunRecord, task: str | None = None) -> dict[int, float]:
    """Return the error mean, or a task's error, by iteration."""
    tests = [(n, splits["test"]) for n, splits in record.history.evaluations if "test" in splits]
    return {n: float(t["error_mean"] if task is None else t["per_task"][task]) for n, t in tests}


def _metric(record: RunRecord, name: str) -> dict[int, float]:
    rows = record.history.metrics.get(name, ())
    return {n: float(value) for n, value in rows if isinstance(value, int | float)}


def _collect(runs: Sequence[Mapping[int, float]]) -> Series:
    """Collect the values of all runs at the iterations that they have in common."""
    if not runs:
        return {}
    common = sorted(set.intersection(*(set(run) for run in runs)))
    return {iteration: [run[iteration] for run in runs] for iteration in common}


def _last(series: Series) -> float:
    return float(np.mean(series[max(series)]))


def _draw(axes: Axes, series: Mapping[str, Series]) -> None:
    for position, (name, found) in enumerate(series.items()):
        if not found:
            continue
        x = np.array(list(found))
        y = np.array(list(found.values()))
        mean = y.mean(1)
        colour = colour_of(position)
        axes.plot(
            x, mean, color=colour, label=name, linewidth=1.6,
            marker=MARKERS[position % len(MARKERS)] if len(x) <= 40 else None, markersize=3.5,
        )  # fmt: skip
        if y.shape[1] > 1:
            sd = y.std(1, ddof=1)
            axes.fill_between(x, mean - sd, mean + sd, color=colour, alpha=0.18, linewidth=0)
    axes.margins(x=0.02)
    top = axes.dataLim.y1
    axes.set_ylim(0, 1.05 * top if np.isfinite(top) and top > 0 else None)
    axes.set_xlabel("iteration")
    axes.locator_params("x", integer=True)
