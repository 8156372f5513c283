"""A report shows soft orders as matrices over depth."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mtl_framework import FinishedRun
from mtl_framework.plotting import (
    MUTED,
    SEQUENTIAL,
    ReportFigure,
    bare,
    middle_runs,
    new_figure,
    shortened,
    style,
)

_MOST_NUMBERED = 5  # layers whose cells have room for numbers
_MOST_DRAWN = 24  # tasks


def order_figures(runs: Sequence[FinishedRun]) -> Iterator[ReportFigure]:
    """Draw one figure for each label and core of finished runs, that of the middle error."""
    for number, (label, record, count) in enumerate(middle_runs(runs, ["soft_ordering"])):
        state = record.checkpoint()
        for core, units in enumerate(state["core"]["units"]):
            name = f"order-{number}-{core}"
            yield order_maps(record, orders(state, core), units, count, name, label)


def orders(state: Mapping[str, Any], core: int) -> np.ndarray:
    """Return the shares (tasks, depths, layers) of a core, from the saved state of a strategy."""
    network = state["network"]
    if (fixed := network.get(f"shares.{core}.shares")) is not None:
        return np.asarray(fixed.double())
    return np.asarray(network[f"shares.{core}.logits"].double().softmax(2))


def order_maps(
    record: FinishedRun,
    shares: np.ndarray,
    units: Sequence[str],
    count: int,
    name: str,
    label: str,
) -> ReportFigure:
    """Draw heat maps (depth, layer) of every task's shares.

    Args:
        record: the run that is drawn.
        shares: (tasks, depths, layers), how much of every layer a task has at every depth.
        units: names of the layers: those of the units that they came from.
        count: number of runs that it stands for.
        name: name of the figure.
        label: name of the run's setting in the report.
    """
    assert record.result is not None
    tasks = shortened(list(record.result.test.per_task), 18)[:_MOST_DRAWN]
    layers = len(units)
    across = min(len(tasks), max(2, 8 // max(1, layers // 3)), 6)
    down = -(-len(tasks) // across)
    size = min(1.0 + 0.28 * layers, 3.0)
    with style():
        figure = new_figure(1.5 + across * size, 0.9 + down * (size + 0.35))
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes, task, own in zip(grid.flat, tasks, shares, strict=False):
            image = _draw(axes, task, own)
        for axes in grid.flat[len(tasks) :]:
            axes.set_visible(False)
        for axes in grid.flat[max(len(tasks) - across, 0) : len(tasks)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("layer", fontsize=8)
        for axes in grid[:, 0]:
            axes.set_ylabel("depth", fontsize=8)
        bar = figure.colorbar(image, ax=grid, pad=0.02, aspect=30)
        bar.set_label("share", fontsize=8)
        bar.outline.set_visible(False)
    more = len(shares) - len(tasks)
    return ReportFigure(
        name,
        f"In which order {label} uses {units[0]} to {units[-1]}",
        f"Heat maps for {len(tasks)} tasks. " + " ".join(_in_words(tasks, shares)),
        f"Run with the middle error of {count} (seed {record.seed}). Each row is a depth: how much "
        f"of every layer, numbered as {', '.join(units)}, the task goes on with there; rows sum to "
        f"one. Equal shares are {1 / layers:.2f}."
        + (f" {more} more tasks are not drawn." if more else ""),
        figure,
        wide=across * layers > 24,
    )


def _draw(axes: Axes, task: str, shares: np.ndarray) -> Any:
    """Draw one task's shares (depths, layers)."""
    layers = shares.shape[1]
    image = axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    axes.set_title(task)
    places = np.arange(layers)
    shown = [str(n + 1) if n % max(1, layers // 8) == 0 else "" for n in places]
    axes.set_xticks(places, shown)
    axes.set_yticks(places, shown)
    bare(axes, MUTED)
    if layers <= _MOST_NUMBERED:
        for (depth, layer), value in np.ndenumerate(shares):
            text = f"{value:.2f}"
            colour = "black" if round(float(value), 2) >= 0.5 else "white"  # as it is written
            axes.text(layer, depth, text, ha="center", va="center", fontsize=6.5, color=colour)
    return image


def _in_words(tasks: Sequence[str], shares: np.ndarray) -> Iterator[str]:
    for task, own in zip(tasks, shares, strict=False):
        largest = ", ".join(str(layer + 1) for layer in own.argmax(1))
        yield f"{task}: largest share by depth layer {largest}."
