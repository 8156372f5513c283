"""A figure of the report shows how large adapters are and how much they change."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtl_framework import FinishedRun
from mtl_framework.plotting import (
    MUTED,
    PALETTE,
    SEQUENTIAL,
    ReportFigure,
    bare,
    middle_runs,
    new_figure,
    shortened,
    style,
    tick_rotation,
)

_MOST_NUMBERED = 8  # tasks whose cells have room for numbers
_MOST_DRAWN = 24  # tasks


def adapter_figures(runs: Sequence[FinishedRun]) -> Iterator[ReportFigure]:
    """Yield a figure for each setting with adapters, of its run with the middle test error."""
    for number, (label, record, count) in enumerate(middle_runs(runs, ["adapters"])):
        sizes = record.checkpoint()["sizes"]
        yield size_figure(record, sizes, count, f"adapters-{number}", label)


def changes(record: FinishedRun, sizes: Mapping[str, Any]) -> np.ndarray:
    """Return how much the adapters of every task change the layers of every unit.

    Returns:
        (units, tasks): the Frobenius norm of what the task's adapters add to the weights of the
        unit's layers, divided by the norm of those weights.
    """
    assert record.result is not None
    assert record.result.assignment is not None
    rows = zip(sizes["change"], record.result.assignment.weights, strict=True)
    return np.array([[own[weight] for weight in used] for own, used in rows])


def size_figure(
    record: FinishedRun, sizes: Mapping[str, Any], count: int, name: str, label: str
) -> ReportFigure:
    """Draw a heat map of what adapters change, and beside it bars of their sizes, unit by unit.

    Args:
        record: the run that is drawn.
        sizes: the state that :meth:`AdapterSizes.state_dict` has saved in the run's checkpoint.
        count: number of finished runs of the setting, of which ``record`` has the middle error.
        name: name of the figure.
        label: what the report calls the setting of the run.
    """
    assert record.result is not None
    change = changes(record, sizes)
    tasks = list(record.result.test.per_task)[:_MOST_DRAWN]
    plain = sizes.get("plain", sizes["trunk"])  # which runs before 28 November 2026 lack
    share = 100 * np.array(sizes["beside"]) / np.maximum(np.array(plain), 1)
    units, more = list(sizes["units"]), change.shape[1] - len(tasks)
    with style():
        figure = new_figure(4.6 + 0.42 * len(tasks), 1.5 + 0.26 * len(units))
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 0.8])
        _draw_changes(figure, left, change[:, : len(tasks)], shortened(tasks, 14), units)
        _draw_shares(right, share)
    total = f"{sum(sizes['beside']):,} parameters a set, {sum(sizes['trunk']):,} in the trunk"
    return ReportFigure(
        name,
        f"How much adapters change, and how large they are ({label})",
        f"Heat map of units and {len(tasks)} tasks, and bars of sizes. "
        + " ".join(_in_words(units, change, share)),
        f"Run with the middle error of {count} (seed {record.seed}). Left: norm of what a task's "
        "adapters add to a unit's weights, relative to the norm of those weights. Right: size of "
        f"one adapter of the unit, its own norms included, relative to the unit without adapters "
        f"({total})." + (f" {more} more tasks are not drawn." if more else ""),
        figure,
        wide=len(tasks) > 12,
    )


def _draw_changes(
    figure: Figure, axes: Axes, change: np.ndarray, tasks: Sequence[str], units: Sequence[str]
) -> None:
    """Draw the heat map of :func:`changes` (units, tasks)."""
    image = axes.imshow(change, cmap=SEQUENTIAL, vmin=0, aspect="auto")
    axes.set_xticks(np.arange(len(tasks)), tasks, **tick_rotation(len(tasks)))
    axes.set_yticks(np.arange(len(units)), shortened(units, 22))
    axes.set_title("change of weights")
    bare(axes)
    middle = (change.min() + change.max()) / 2
    if len(tasks) <= _MOST_NUMBERED:
        for (unit, task), value in np.ndenumerate(change):
            colour = "black" if value > middle else "white"
            axes.text(int(task), int(unit), f"{value:.2f}", ha="center", va="center",
                      fontsize=6.5, color=colour)  # fmt: skip
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.outline.set_visible(False)


def _draw_shares(axes: Axes, share: np.ndarray) -> None:
    """Draw bars of the size of one adapter of every unit, in percent of the unit's parameters."""
    places = np.arange(len(share))
    axes.barh(places, share, color=PALETTE[0], height=0.7)
    axes.set_title("size of an adapter")
    axes.set_xlabel("% of the unit's parameters")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(MUTED)
    axes.grid(False, axis="y")
    axes.set_xlim(0, max(float(share.max()) * 1.25, 1e-9))
    for place, value in zip(places, share, strict=True):
        axes.text(float(value), int(place), f" {value:.3g}", va="center", fontsize=7)


def _in_words(units: Sequence[str], change: np.ndarray, share: np.ndarray) -> Iterator[str]:
    for unit, own, size in zip(units, change, share, strict=True):
        yield f"{unit}: change from {own.min():.2g} to {own.max():.2g}, size {size:.3g} %."
