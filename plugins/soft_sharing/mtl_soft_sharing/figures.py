"""A report shows mixing weights as heat maps."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

from mtl_framework import FinishedRun
from mtl_framework.plotting import (
    MUTED,
    PAPER,
    ReportFigure,
    bare,
    middle_runs,
    new_figure,
    shortened,
    style,
)

from .unit import by_column

Weights = dict[str, np.ndarray]  # by unit: (to, from), see by_column
STRATEGIES = ("cross_stitch", "nddr", "sluice")
_ABOUT = {  # by number of dimensions of the weights
    2: "",
    3: ", mean over channels",
    4: ", root of the sum of squares over its channels' weights, by channel",
}
_MOST_NUMBERED = 8  # tasks whose cells have room for numbers
_SIGNED = LinearSegmentedColormap.from_list("orange_blue", ["#D55E00", PAPER, "#0072b2"])


def mixing_figures(runs: Sequence[FinishedRun]) -> Iterator[ReportFigure]:
    """Draw one figure for each label of finished runs of columns that mix, of the middle error."""
    for number, (label, record, count) in enumerate(middle_runs(runs, STRATEGIES)):
        others = [run for run in runs if run.strategy != label and run.result is not None]
        yield mixing_maps(record, count, others, f"mixing-{number}")
        if _layers(state := record.checkpoint()) is not None:
            yield unit_map(record, state, count, f"units-{number}")


def mixing_maps(
    record: FinishedRun, count: int, others: Sequence[FinishedRun], name: str
) -> ReportFigure:
    """Draw heat maps (to, from) of a run, one for each unit behind which columns are mixed.

    Args:
        record: a finished run.
        count: number of mixing weights that it stands for.
        others: runs of other settings, whose time a step is compared with.
        name: name of the figure.

    Raises:
        MtlError: if the run's checkpoint cannot be read.
    """
    assert record.result is not None
    state = record.checkpoint()
    weights = mixing_weights(state)
    tasks = _labels(record, len(next(iter(weights.values()))))
    across = min(4, len(weights))
    down = -(-len(weights) // across)
    size = min(max(1.9, 0.8 + 0.42 * len(tasks)), 3.2)
    most = max(float(np.abs(matrix).max()) for matrix in weights.values())
    scale = TwoSlopeNorm(0, -most, most)
    with style():
        figure = new_figure(1.4 + across * size, 0.7 + down * (size + 0.7))
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes, (unit, matrix) in zip(grid.flat, weights.items(), strict=False):
            image = _draw(axes, unit, matrix, tasks, scale, numbered=0.6 * most)
        for axes in grid.flat[len(weights) :]:
            axes.set_visible(False)
        for axes in grid.flat[max(len(weights) - across, 0) : len(weights)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("from the column of", fontsize=8)
        for axes in grid[:, 0]:
            axes.set_ylabel("to the column of", fontsize=8)
        bar = figure.colorbar(image, ax=grid, pad=0.02, aspect=30)
        bar.set_label("mixing weight", fontsize=8)
        bar.outline.set_visible(False)
    kinds = {np.ndim(value) for value in _tensors(state).values()}
    return ReportFigure(
        name,
        f"What {record.strategy} mixes",
        f"Heat maps for {len(weights)} units. " + " ".join(_in_words(weights)),
        f"Run with the middle error of {count} (seed {record.seed}). Each row tells what a task's "
        "column goes on with behind that unit: so much of every column's activations"
        f"{_ABOUT[max(kinds)]}. {_cost(record, others)}",
        figure,
        wide=across * len(tasks) > 16,
    )


def unit_map(record: FinishedRun, state: Mapping[str, Any], count: int, name: str) -> ReportFigure:
    """Draw a heat map (task, unit) of how much of every mixed unit each column goes on with.

    Args:
        record: a finished run of sluice networks.
        state: the saved state of its strategy.
        count: number of runs that it stands for.
        name: name of the figure.
    """
    assert record.result is not None
    matrix, units = _layers(state), list(state["positions"]["units"])
    assert matrix is not None
    tasks = shortened(list(record.result.test.per_task), 12)
    most = float(np.abs(matrix).max())
    with style():
        figure = new_figure(2.4 + 0.62 * len(units), 1.3 + 0.36 * len(tasks))
        axes = figure.subplots()
        image = _draw(
            axes, "", matrix, tasks, TwoSlopeNorm(0, -most, most), 0.6 * most, across=units
        )
        axes.set_aspect("auto")
        axes.set_xlabel("unit", fontsize=8)
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.set_label("weight of the unit", fontsize=8)
        bar.outline.set_visible(False)
    largest = matrix.argmax(1).tolist()
    strongest = [f"{task}: {units[k]}" for task, k in zip(tasks, largest, strict=True)]
    return ReportFigure(
        name,
        f"Which units {record.strategy} predicts from",
        f"A heat map for {len(tasks)} tasks and {len(units)} units. Largest weight, "
        f"{', '.join(strongest)}.",
        f"Run with the middle error of {count} (seed {record.seed}). Each row tells how much of "
        "what a task's column gave behind every mixed unit goes on behind the last one.",
        figure,
        wide=len(units) > 16,
    )


def _labels(record: FinishedRun, size: int) -> list[str]:
    """Return the names of tasks, or of their subspaces, where a mixture has several a task."""
    assert record.result is not None
    tasks = shortened(list(record.result.test.per_task), 12)
    count = size // len(tasks)
    if count == 1:
        return tasks
    return [f"{task} {part + 1}" for task in tasks for part in range(count)]


def _layers(state: Mapping[str, Any]) -> np.ndarray | None:
    """Return the weights (task, unit) of mixed units in what a sluice network predicts from."""
    names = [name for name in state["network"] if re.fullmatch(r"mixers\.\d+\.layers", name)]
    return state["network"][names[0]].double().numpy() if names else None


def _draw(
    axes: Axes,
    unit: str,
    matrix: np.ndarray,
    tasks: Sequence[str],
    scale: TwoSlopeNorm,
    numbered: float,
    across: Sequence[str] | None = None,
) -> Any:
    """Draw one heat map; ``numbered`` is the weight above which its number is bright on dark."""
    across = tasks if across is None else across
    image = axes.imshow(matrix, cmap=_SIGNED, norm=scale)
    axes.set_title(unit)
    axes.set_xticks(np.arange(len(across)), across, rotation=90 if len(across) > 2 else 0)
    axes.set_yticks(np.arange(len(tasks)), tasks)
    bare(axes, MUTED)
    if len(tasks) <= _MOST_NUMBERED:
        for (row, column), value in np.ndenumerate(matrix):
            # the map keeps its colours on a dark page, so its numbers do, too
            colour = "white" if abs(value) > numbered else "black"
            text = f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    return image


def _tensors(state: Mapping[str, Any]) -> dict[int, Any]:
    own = {name: re.fullmatch(r"mixers\.(\d+)\.weight", name) for name in state["network"]}
    return {int(of[1]): state["network"][name] for name, of in sorted(own.items()) if of}


def mixing_weights(state: Mapping[str, Any]) -> Weights:
    """Return weights (to, from) by unit from a strategy's saved state; see :func:`by_column`."""
    names = state["positions"]["units"]
    weights = [by_column(value.double()).numpy() for _, value in sorted(_tensors(state).items())]
    return dict(zip(names, weights, strict=True))


def _in_words(weights: Weights) -> Iterator[str]:
    for unit, matrix in weights.items():
        own = np.diag(matrix)
        rest = matrix[~np.eye(len(matrix), dtype=bool)]
        others = f", others from {rest.min():.2f} to {rest.max():.2f}" if rest.size else ""
        yield f"{unit}: own weights from {own.min():.2f} to {own.max():.2f}{others}."


def _cost(record: FinishedRun, others: Sequence[FinishedRun]) -> str:
    """Say what a step costs, beside the time of the other settings."""
    assert record.result is not None
    passes = record.history.metrics.get("column_passes", ())
    text = f"A step takes {record.result.seconds_per_iteration:.3g} s"
    if passes:
        text += f" for {passes[-1][1]:.0f} passes of a batch of one task through one column"
    times: dict[str, list[float]] = {}
    for run in others:
        assert run.result is not None
        times.setdefault(run.strategy, []).append(run.result.seconds_per_iteration)
    shown = ", ".join(f"{label} {np.median(found):.3g} s" for label, found in times.items())
    return f"{text}{f' ({shown})' if shown else ''}; every task's network needs all columns."
