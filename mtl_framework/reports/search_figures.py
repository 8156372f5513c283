"""Figures show what a search found over time, what mattered, and where good values lie."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..plugins.report_figure import ReportFigure
from .figure import INK, colour_of, new_figure, shortened, slug, style
from .trials import SearchRecord, TrialRecord, plain

_MOST_BARS = 20
_DONE, _PRUNED = colour_of(0), colour_of(1)


def search_figures(search: SearchRecord) -> Iterator[ReportFigure]:
    """Draw all figures of a search for which there are data."""
    yield history_figure(search)
    if any(len(trial.curve) > 1 for trial in search.trials):
        yield curves_figure(search)
    if search.importances:
        yield importance_figure(search)
    for name in search.scales:
        yield option_figure(search, name)


def history_figure(search: SearchRecord) -> ReportFigure:
    """Draw the figure of every trial, and the best one so far as a line."""
    done = [trial for trial in search.trials if trial.state == "done"]
    pruned = [trial for trial in search.trials if trial.state == "pruned" and trial.value]
    with style():
        figure = new_figure(5.6, 3.4)
        axes = figure.subplots()
        axes.plot(*_points(pruned, lambda t: t.number), "x", color=_PRUNED, markersize=5)
        axes.plot(*_points(done, lambda t: t.number), "o", color=_DONE, markersize=4)
        numbers = [trial.number for trial in done]
        best = np.minimum.accumulate([trial.value or 0.0 for trial in done])
        axes.step(numbers, best, where="post", color=INK, linewidth=1)
        axes.set_xlabel("trial")
        axes.set_ylabel(f"validation {search.unit}")
        axes.legend(
            handles=[
                Line2D([], [], marker="o", linestyle="", color=_DONE, label="run to its end"),
                Line2D([], [], marker="x", linestyle="", color=_PRUNED, label="ended early"),
                Line2D([], [], color=INK, linewidth=1, label="best so far"),
            ]
        )
    assert search.best is not None
    return ReportFigure(
        "history",
        "What the search found",
        f"Chart of the validation {search.unit} of {len(search.trials)} trials by number; the best "
        f"is {search.best.value:.4g} in trial {search.best.number}.",
        "Figure of validation of every trial, lower is better; crosses were ended early and have "
        "the figure that they had then. The line is the best trial so far.",
        figure,
    )


def curves_figure(search: SearchRecord) -> ReportFigure:
    """Draw what validation said of every trial while it trained."""
    best = search.best
    with style():
        figure = new_figure(5.6, 3.4)
        axes = figure.subplots()
        for trial in search.trials:
            if not trial.curve or trial is best:
                continue
            colour = _PRUNED if trial.state == "pruned" else _DONE
            axes.plot(*zip(*trial.curve, strict=True), color=colour, alpha=0.4, linewidth=0.9)
        if best is not None and best.curve:
            axes.plot(*zip(*best.curve, strict=True), color=INK, linewidth=1.6)
        axes.set_xlabel("iteration")
        axes.locator_params("x", integer=True)
        axes.set_ylabel(f"validation {search.unit}")
        axes.legend(
            handles=[
                Line2D([], [], color=INK, linewidth=1.6, label="best"),
                Line2D([], [], color=_DONE, label="run to its end"),
                Line2D([], [], color=_PRUNED, label="ended early"),
            ]
        )
    count = sum(trial.state == "pruned" for trial in search.trials)
    return ReportFigure(
        "curves",
        "Validation while training",
        f"Line chart of the validation {search.unit} of all trials against iterations; {count} of "
        f"{len(search.trials)} were ended early.",
        "First run of every trial; those ended early were hopeless by their curve so far.",
        figure,
    )


def importance_figure(search: SearchRecord) -> ReportFigure:
    """Draw bars of what each option contributes to how much the figures differ."""
    shares = sorted(search.importances.items(), key=lambda pair: -pair[1])[:_MOST_BARS]
    names = shortened([name for name, _ in shares], 32)
    with style():
        figure = new_figure(5.6, 0.8 + 0.3 * len(shares))
        axes = figure.subplots()
        axes.barh(names[::-1], [100 * share for _, share in shares][::-1], color=_DONE, height=0.6)
        axes.set_xlabel("share of the variance, %")
        axes.grid(visible=False, axis="y")
    said = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
    return ReportFigure(
        "importances",
        "Which options matter",
        f"Bar chart of the options' shares in the variance of the figures: {said}.",
        "Share of the variance of the validation figures, over the space that was searched, that "
        "each option explains (fANOVA; Hutter et al., ICML 2014). Trials ended early do not count.",
        figure,
    )


def option_figure(search: SearchRecord, name: str) -> ReportFigure:
    """Draw the figures of trials over the values of one option."""
    shown = [t for t in search.trials if t.value is not None and t.options.get(name) is not None]
    numeric = all(_is_number(trial.options[name]) for trial in shown)
    with style():
        figure = new_figure(3.4, 2.8)
        axes = figure.subplots()
        position: Callable[[TrialRecord], Any] = lambda t: t.options[name]  # noqa: E731
        if not numeric:
            choices = list(dict.fromkeys(plain(trial.options[name]) for trial in shown))
            position = lambda t: choices.index(plain(t.options[name]))  # noqa: E731
            axes.set_xticks(range(len(choices)), shortened(choices, 14))
            axes.set_xlim(-0.5, len(choices) - 0.5)
        elif search.scales[name]:
            axes.set_xscale("log")
        for state, mark, colour in (("pruned", "x", _PRUNED), ("done", "o", _DONE)):
            these = [trial for trial in shown if trial.state == state]
            axes.plot(*_points(these, position), mark, color=colour, markersize=4, alpha=0.8)
        _mark_best(axes, search, position)
        axes.set_xlabel(shortened([name], 40)[0])
        axes.set_ylabel(f"validation {search.unit}")
    return ReportFigure(
        f"option-{slug(name)}",
        f"Validation by {shortened([name], 40)[0]}",
        f"Scatter chart of the validation {search.unit} of {len(shown)} trials over {name}.",
        "Circles were run to their end, crosses ended early; the ring is the best trial.",
        figure,
    )


def _mark_best(axes: Axes, search: SearchRecord, position: Callable[[TrialRecord], Any]) -> None:
    best = search.best
    if best is not None and best.value is not None:
        axes.plot([position(best)], [best.value], "o", markersize=9, fillstyle="none", color=INK)


def _points(
    trials: Sequence[TrialRecord], position: Callable[[TrialRecord], Any]
) -> tuple[list[Any], list[float]]:
    return [position(t) for t in trials], [t.value or 0.0 for t in trials]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
