"""Two figures show where decoders went, and what became of their dropout rates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtl_framework import FinishedRun
from mtl_framework.plotting import INK, MARKERS, MUTED, ReportFigure, colour_of, new_figure, style

FEWEST_POINTS = 8
_PANELS_A_ROW = 3
_MOST_NAMED = 8  # tasks
_MOST_DECODERS = 16
_INCHES_A_NAME = 1.15


@dataclass(frozen=True)
class RunCourse:
    """This is a finished run's :class:`~mtl_pta.course.Course` of several decoders, as arrays."""

    record: FinishedRun
    variant: str
    task: str
    iterations: list[int]
    rates: Float[np.ndarray, "points tasks decoders"]
    weights: Float[np.ndarray, "points decoders numbers"]
    chosen: int


def draw(runs: Sequence[FinishedRun]) -> Iterator[ReportFigure]:
    """Draw both figures of those runs that have what they show."""
    courses = [course for record in runs if (course := read(record)) is not None]
    labels = list(dict.fromkeys(course.record.strategy for course in courses))
    groups = [[c for c in courses if c.record.strategy == label] for label in labels]
    shown = [group[0] for group in groups if _distinct(group[0].weights) >= FEWEST_POINTS]
    if shown:
        yield trajectories(shown)
    moving = [group for group in groups if np.ptp(group[0].rates) > 0]
    if moving:
        yield schedules(moving)


def read(record: FinishedRun) -> RunCourse | None:
    """Read the course of a run's decoders; ``None`` where there is none."""
    result = record.result
    if result is None or result.strategy != "pta":
        return None
    state = record.checkpoint()
    course: dict[str, Any] = state["course"]
    if not course["iterations"]:
        return None
    return RunCourse(
        record,
        record.config["strategy"]["variant"],
        tuple(result.test.per_task)[course["task"]],
        course["iterations"],
        course["rates"].numpy(),
        course["weights"].numpy(),
        int(state["network"][f"heads.{course['task']}.chosen"]),
    )


def trajectories(courses: Sequence[RunCourse]) -> ReportFigure:
    """Draw every decoder of one task as a path through a t-SNE projection of its weights."""
    with style():
        figure, panels = _panels(len(courses), 3.1)
        for axes, course in zip(panels, courses, strict=True):
            _draw_paths(axes, course)
        decoders = max(course.weights.shape[1] for course in courses)
        if decoders <= _MOST_DECODERS:
            handles, labels = panels[
                [course.weights.shape[1] for course in courses].index(decoders)
            ].get_legend_handles_labels()
            _legend(figure, handles, labels)
    tasks = ", ".join(dict.fromkeys(course.task for course in courses))
    spreads = "; ".join(
        f"{c.record.strategy}: {_spread(c.weights[0]):.2f} at first, "
        f"{_spread(c.weights[-1]):.2f} at last"
        for c in courses
    )
    return ReportFigure(
        "pta-trajectories",
        f"Where the decoders of {tasks} went",
        f"Paths of the decoders of one task ({tasks}) in the plane, one panel a setting. Mean "
        f"cosine distance between two decoders: {spreads}.",
        "Weights of every decoder of one task at every meta-iteration, projected by t-SNE with "
        "cosine distances, one run a panel. Hollow: the start; large: the end; ringed: the decoder "
        "that validation chose. Distances within a panel mean little beyond near and far, and "
        "panels cannot be compared with each other.",
        figure,
    )


def schedules(groups: Sequence[Sequence[RunCourse]]) -> ReportFigure:
    """Draw the mean dropout rate of every task's decoders over the iterations."""
    with style():
        figure, panels = _panels(len(groups), 2.7)
        for axes, group in zip(panels, groups, strict=True):
            _draw_rates(axes, group)
        panels[0].set_ylabel("dropout rate")
        handles, labels = panels[0].get_legend_handles_labels()
        _legend(figure, handles, labels)
    ends = "; ".join(
        f"{group[0].record.strategy}: from {_mean_rates(group)[0].mean():.2f} to "
        f"{_mean_rates(group)[-1].mean():.2f}"
        for group in groups
    )
    return ReportFigure(
        "pta-dropout",
        "Dropout rates that decoders found",
        f"Mean dropout rate of all decoders over the iterations. {ends}.",
        "Dropout rate in front of the decoders, which noise and selection move from "
        "meta-iteration to meta-iteration: thin, the mean of each task's decoders; thick, that of "
        "all. Means over the runs of a setting.",
        figure,
    )


def project(points: Float[np.ndarray, "points numbers"]) -> Float[np.ndarray, "points 2"]:
    """Project by t-SNE of cosine distances (van der Maaten, Hinton 2008); equal points stay so."""
    from sklearn.manifold import TSNE

    unique, where = np.unique(points, axis=0, return_inverse=True)
    perplexity = min(30.0, (len(unique) - 1) / 3)
    embedding = TSNE(
        2, metric="cosine", init="random", perplexity=perplexity, random_state=0, n_jobs=1
    )
    projected_points: Float[np.ndarray, "points 2"] = embedding.fit_transform(unique)[
        where.reshape(-1)
    ]
    return projected_points


def _draw_paths(axes: Axes, course: RunCourse) -> None:
    points, decoders, _ = course.weights.shape
    plane = project(course.weights.reshape(points * decoders, -1)).reshape(points, decoders, 2)
    for number in range(decoders):
        x, y = plane[:, number].T
        colour = colour_of(number)
        marker = MARKERS[(number + number // len(MARKERS)) % len(MARKERS)]
        axes.plot(
            x, y, color=colour, linewidth=0.7, marker=marker, markersize=2.5, alpha=0.7,
            label=f"decoder {number + 1}",
        )  # fmt: skip
        axes.plot(x[0], y[0], marker=marker, markersize=7, mfc="none", mec=colour)
        axes.plot(x[-1], y[-1], marker=marker, markersize=7, color=colour)
        if number == course.chosen:
            axes.plot(x[-1], y[-1], marker="o", markersize=13, mfc="none", mec=INK)
    axes.set_title(course.record.strategy)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.1)


def _draw_rates(axes: Axes, group: Sequence[RunCourse]) -> None:
    rates = _mean_rates(group).mean(2)
    iterations = group[0].iterations
    result = group[0].record.result
    assert result is not None
    names = tuple(result.test.per_task)
    for number, name in enumerate(names if len(names) > 1 else ()):
        named = len(names) <= _MOST_NAMED
        axes.plot(
            iterations, rates[:, number], linewidth=0.9, alpha=0.9 if named else 0.5,
            color=colour_of(number) if named else MUTED,
            label=name if named else ("a task" if number == 0 else None),
        )  # fmt: skip
    axes.plot(
        iterations,
        rates.mean(1),
        color=INK,
        linewidth=2.2,
        label="all tasks" if len(names) > 1 else names[0],
    )
    axes.set_title(group[0].record.strategy)
    axes.set_xlabel("iteration")
    axes.locator_params("x", integer=True)
    axes.set_ylim(0, 1)


def _mean_rates(group: Sequence[RunCourse]) -> Float[np.ndarray, "points tasks decoders"]:
    """Average the dropout rates over those runs that have the same points as the first."""
    alike = [course.rates for course in group if course.iterations == group[0].iterations]
    mean: Float[np.ndarray, "points tasks decoders"] = np.mean(alike, axis=0)
    return mean


def _panels(count: int, size: float) -> tuple[Figure, list[Axes]]:
    columns = 2 if count == 4 else min(count, _PANELS_A_ROW)
    rows = -(-count // columns)
    figure = new_figure(max(size * columns, 4.2), size * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def _legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    columns = max(1, int(figure.get_size_inches()[0] / _INCHES_A_NAME))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(columns, len(labels)),
        handlelength=1.5, columnspacing=1.2,
    )  # fmt: skip


def _distinct(weights: Float[np.ndarray, "points decoders numbers"]) -> int:
    return len(np.unique(weights.reshape(-1, weights.shape[-1]), axis=0))


def _spread(weights: Float[np.ndarray, "decoders numbers"]) -> float:
    """Compute the mean cosine distance between two decoders."""
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    upper = np.triu_indices(len(unit), 1)
    return float(1 - (unit @ unit.T)[upper].mean())
