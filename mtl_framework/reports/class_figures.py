"""Figures show which classes are right, which are confused, and how far to trust probabilities."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..plugins.report_figure import ReportFigure
from ..runs.details import TaskDetails
from ..runs.records import Group, Select
from .figure import INK, MARKERS, MUTED, SEQUENTIAL, colour_of, new_figure, shortened, slug, style

MOST_TASKS = 6  # that are drawn, the first ones
_NUMBERS = 12  # classes up to which counts stand in the cells
_NAMED = 30  # classes up to which all are named

Details = Mapping[str, Sequence[Mapping[str, TaskDetails]]]


def class_figures(group: Group, select: Select) -> Iterator[ReportFigure]:
    """Draw the classes' figures of the networks that count, over all seeds of a strategy.

    Raises:
        MtlError: if a run's file is damaged.
    """
    details: Details = {
        strategy: [found for run in group.done(strategy) if (found := run.details(select))]
        for strategy in group.strategies
    }
    yield from _confusions(group, details)
    for figure in (_class_accuracy(group, details), _reliabilities(group, details)):
        if figure is not None:
            yield figure


def _tasks_with(group: Group, details: Details, what: str) -> list[str]:
    """Return the tasks for which some run has the detail ``what``."""
    return [
        task
        for task in group.tasks
        if any(getattr(d.get(task), what, None) for runs in details.values() for d in runs)
    ]


def _left_out(tasks: Sequence[str]) -> str:
    rest = len(tasks) - MOST_TASKS
    return f" The first {MOST_TASKS} of {len(tasks)} tasks." if rest > 0 else ""


def _grid(count: int, width: float, height: float) -> tuple[Any, list[Axes]]:
    """Make a figure with panels of so many inches, at most three side by side."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = new_figure(width * columns + 0.4, height * rows + 0.5)
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for extra in axes[count:]:
        extra.set_visible(False)
    return figure, list(axes[:count])


def _legend(figure: Any, handles: Sequence[Any], labels: Sequence[str], panels: int) -> None:
    """Name the strategies above the panels, as many in a row as there is room for.

    The figure grows by what the names need, so that panels stay as high as they were made.
    """
    short, columns = shortened(list(labels), 28), min(panels, 3)
    figure.set_figheight(figure.get_figheight() + 0.19 * -(-len(short) // columns))
    figure.legend(handles, short, loc="outside upper left", ncols=columns)


def _confusions(group: Group, details: Details) -> Iterator[ReportFigure]:
    """Draw a figure for each strategy: for every task true classes by predicted ones."""
    tasks = _tasks_with(group, details, "confusion")
    if not tasks:
        return
    for strategy, runs in details.items():
        shown = [t for t in tasks if any(t in d and d[t].confusion for d in runs)][:MOST_TASKS]
        if not shown:
            continue
        with style():
            figure, panels = _grid(len(shown), 3.3, 3.3)
            for axes, task in zip(panels, shown, strict=True):
                found = [d[task] for d in runs if task in d and d[task].confusion]
                counts = np.sum([np.array(d.confusion) for d in found], axis=0)
                _draw_confusion(axes, counts, found[0].classes, task)
        yield ReportFigure(
            f"confusion-{slug(strategy)}",
            f"What {strategy} takes for what",
            f"Confusion matrices of {strategy} for {', '.join(shown)}.",
            "Rows are the true classes of test examples, columns the classes that they are taken "
            "for; colour is the share of the row, numbers are examples of all seeds together."
            + _left_out(tasks),
            figure,
        )


def _draw_confusion(axes: Axes, counts: np.ndarray, classes: Sequence[str], task: str) -> None:
    rows = np.maximum(counts.sum(1, keepdims=True), 1)
    shares, many = counts / rows, len(classes)
    axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    axes.grid(False)
    names = shortened(list(classes), 9)
    ticks = range(many) if many <= _NAMED else range(0, many, -(-many // 10))
    size = 8 if many <= _NUMBERS else 5 if many <= _NAMED else 7
    axes.set_xticks(list(ticks), [names[n] for n in ticks], rotation=90, fontsize=size)
    axes.set_yticks(list(ticks), [names[n] for n in ticks], fontsize=size)
    axes.set_title(shortened([task], 30)[0])
    axes.set_xlabel("taken for")
    axes.set_ylabel("true class")
    if many <= _NUMBERS:
        for row, column in zip(*np.nonzero(counts), strict=True):
            light = shares[row, column] < 0.5
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center",
                fontsize=8 if many <= 6 else 6, color="white" if light else "black",
            )  # fmt: skip


def _class_accuracy(group: Group, details: Details) -> ReportFigure | None:
    """Draw how often every class is right: a panel for each task, a mark for each strategy."""
    tasks = _tasks_with(group, details, "accuracy")
    shown = tasks[:MOST_TASKS]
    if not shown:
        return None
    most = max(len(_classes(details, task)) for task in shown)
    with style():
        figure, panels = _grid(len(shown), 3.1, max(1.6, 0.7 + 0.17 * min(most, 60)))
        for axes, task in zip(panels, shown, strict=True):
            classes = _classes(details, task)
            for position, (strategy, runs) in enumerate(details.items()):
                each = [d[task].accuracy for d in runs if task in d and d[task].accuracy]
                if not each:
                    continue
                values = np.array(each, dtype=float)  # (seeds, classes), NaN where none occurs
                known = ~np.isnan(values).all(0)
                means = np.nanmean(values[:, known], axis=0)
                axes.plot(
                    means, np.flatnonzero(known), MARKERS[position % len(MARKERS)],
                    color=colour_of(position), markersize=4, label=strategy,
                )  # fmt: skip
            ticks = range(len(classes)) if len(classes) <= 60 else range(0, len(classes), 10)
            names = shortened(classes, 12)
            axes.set_yticks(list(ticks), [names[n] for n in ticks], fontsize=7)
            axes.set_ylim(len(classes) - 0.5, -0.5)
            axes.set_xlim(-3, 103)
            axes.set_title(shortened([task], 30)[0])
            axes.set_xlabel("right (% of its examples)")
        handles, labels = panels[0].get_legend_handles_labels()
        _legend(figure, handles, labels, len(panels))
    return ReportFigure(
        "class-accuracy",
        "Class by class",
        f"Dot plots of the accuracy of every class, for {', '.join(shown)}.",
        "Test examples of every class (label) that are right, in percent: mean over seeds."
        + _left_out(tasks),
        figure,
    )


def _classes(details: Details, task: str) -> list[str]:
    return next(d[task].classes for runs in details.values() for d in runs if task in d)


def _reliabilities(group: Group, details: Details) -> ReportFigure | None:
    """Draw how often predictions of a confidence are right, in a panel for each task."""
    tasks = _tasks_with(group, details, "reliability")
    shown = tasks[:MOST_TASKS]
    if not shown:
        return None
    with style():
        figure, panels = _grid(len(shown), 2.9, 3.1)
        for axes, task in zip(panels, shown, strict=True):
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1)
            for position, (strategy, runs) in enumerate(details.items()):
                bins = _pooled([r for d in runs if task in d and (r := d[task].reliability)])
                if not bins:
                    continue
                rows, confidence, right = map(np.array, zip(*bins, strict=True))
                axes.plot(confidence, right, color=colour_of(position), linewidth=1)
                axes.scatter(
                    confidence, right, s=6 + 60 * rows / rows.sum(), color=colour_of(position),
                    marker=MARKERS[position % len(MARKERS)], label=strategy,
                )  # fmt: skip
            axes.set_xlim(0, 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.set_aspect("equal")
            axes.set_title(shortened([task], 30)[0], color=INK)
            axes.set_xlabel("probability said")
            axes.set_ylabel("share that is so")
        handles, labels = panels[0].get_legend_handles_labels()
        _legend(figure, handles, labels, len(panels))
    return ReportFigure(
        "reliability",
        "Whether probabilities can be trusted",
        f"Reliability diagrams for {', '.join(shown)}.",
        "Test examples of all seeds in 15 bins by the probability of the class that is predicted "
        "(of 1, for binary tasks and labels), and how often that is so. Below the "
        "line: probabilities that are too high. "
        "Larger marks stand for more examples." + _left_out(tasks),
        figure,
    )


def _pooled(found: Sequence[Any]) -> list[tuple[int, float, float]]:
    """Pool bins over runs: count of rows, mean confidence and share that is right."""
    pooled = []
    for number in range(max((len(r.rows) for r in found), default=0)):
        parts = [
            (r.rows[number], r.confidence[number], r.right[number]) for r in found if r.rows[number]
        ]
        total = sum(rows for rows, _, _ in parts)
        if total:
            confidence = sum(rows * c for rows, c, _ in parts) / total
            right = sum(rows * share for rows, _, share in parts) / total
            pooled.append((total, confidence, right))
    return pooled
