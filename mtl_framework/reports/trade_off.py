"""A figure shows what strategies pay for their error: parameters that their networks need."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ..plugins.report_figure import ReportFigure
from .analysis import Analysis, Row
from .figure import INK, MUTED, PAPER, colour_of, new_figure, shortened, style
from .stats import Spread

_FEWEST = 3  # strategies that make a figure
_WIDE = 3.0  # times as many parameters, from which on the axis is logarithmic
_LINE = 0.165  # height of a line of the legend, in inches
_DOT = 0.1  # width of a dot, in inches


class _Point(NamedTuple):
    number: int
    strategy: str
    size: Spread
    value: Spread


def trade_off(analysis: Analysis) -> ReportFigure | None:
    """Draw mean figures against parameters needed; ``None`` for few strategies, or of one size."""
    group = analysis.group
    higher = group.mixed or bool(group.higher)
    points = [
        _Point(number, row.strategy, row.deployed, value)
        for number, row in enumerate(analysis.rows, 1)
        if row.deployed is not None
        and (value := _value_of(row, group.mixed)) is not None
        and math.isfinite(value.mean)
    ]
    if len(points) < _FEWEST or len({point.size.mean for point in points}) == 1:
        return None
    front = front_of([(p.size.mean, -p.value.mean if higher else p.value.mean) for p in points])
    ends = [points[place].strategy for place in front]
    label = f"Δm over {analysis.baseline} (%)" if group.mixed else f"test {group.unit}"
    better = "higher" if higher else "lower"
    return ReportFigure(
        "trade-off",
        "What an error costs",
        f"Scatter chart of {label} against parameters, {better} is better. No other strategy is "
        f"as good and smaller, or better and no larger, than: {', '.join(ends)}.",
        f"Mean over seeds against the mean number of parameters that all tasks' networks need "
        f"together; {better} is better. Bars are one sample standard deviation. The line joins "
        "strategies that no other is as good as with less, or better than with no more, in the "
        "mean; whether a difference is more than chance, the tests say. What has no finite mean is "
        "left out.",
        _chart(points, front, label),
    )


def front_of(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points that no other one is level with or below in both numbers, in order.

    Of points with the same two numbers all are kept. An example: of (1, 9), (2, 5), (3, 6) and
    (4, 4) the third has a point below it, the second.

    Args:
        points: two numbers each, of both of which less is better.

    Returns:
        positions of the points, by their first number.
    """
    order = sorted(range(len(points)), key=lambda place: points[place])
    front: list[int] = []
    for place in order:
        last = points[front[-1]] if front else None
        if last is None or points[place][1] < last[1] or points[place] == last:
            front.append(place)
    return front


def _value_of(row: Row, mixed: bool) -> Spread | None:
    return row.delta_m if mixed else row.error_mean


def _chart(points: Sequence[_Point], front: Sequence[int], label: str) -> Figure:
    height = max(3.4, 0.6 + _LINE * len(points))
    with style():
        figure = new_figure(7, height)
        axes = figure.subplots()
        sizes = [point.size.mean for point in points]
        if max(sizes) > _WIDE * min(sizes) > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
        _dots(axes, points, front)
        axes.plot(
            [sizes[place] for place in front], [points[place].value.mean for place in front],
            color=MUTED, linewidth=1.2, zorder=1,
        )  # fmt: skip
        axes.margins(x=0.08, y=0.12)
        axes.set_ylim(bottom=_bottom(axes, points))
        axes.autoscale_view()  # otherwise limits are found when they are drawn, too late for _close
        for together in _close(axes, points, height):
            _number(axes, [points[place] for place in together])
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
        axes.set_xlabel("parameters needed by all tasks")
        axes.set_ylabel(label)
        _list_names(figure, axes, points)
    return figure


def _dots(axes: Axes, points: Sequence[_Point], front: Sequence[int]) -> None:
    places = sorted(range(len(points)), key=lambda place: place in front)  # the front lies above
    sizes, values = ([getattr(points[p], name) for p in places] for name in ("size", "value"))
    x, y = ([spread.mean for spread in spreads] for spreads in (sizes, values))
    colours = [colour_of(0) if place in front else MUTED for place in places]
    axes.errorbar(
        x, y, xerr=[spread.sd or 0 for spread in sizes], yerr=[spread.sd or 0 for spread in values],
        fmt="none", elinewidth=1, alpha=0.55, zorder=2,
        ecolor=colours,  # type: ignore[arg-type]  # a colour a point is right, its stub lacks it
    )  # fmt: skip
    axes.scatter(x, y, s=36, color=colours, edgecolor=PAPER, linewidth=0.6, zorder=3)


def _bottom(axes: Axes, points: Sequence[_Point]) -> float:
    """Leave out what is below zero where no figure is."""
    bottom = axes.get_ylim()[0]
    return max(0.0, bottom) if min(point.value.mean for point in points) >= 0 else bottom


def _close(axes: Axes, points: Sequence[_Point], height: float) -> list[list[int]]:
    """Put points together whose dots overlap, so that their numbers do not."""
    inches = np.array([4.4, height - 0.7])  # of the axes, about
    data = np.array([(point.size.mean, point.value.mean) for point in points])
    on_page = axes.transAxes.inverted().transform(axes.transData.transform(data)) * inches
    groups: list[list[int]] = []
    for place, at in enumerate(on_page):
        near = (g for g in groups if np.abs(on_page[g[0]] - at).max() < _DOT)
        group = next(near, None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    return groups


def _number(axes: Axes, points: Sequence[_Point]) -> None:
    highest = max(points, key=lambda point: point.value.mean)
    axes.annotate(
        ", ".join(str(point.number) for point in points),
        (highest.size.mean, highest.value.mean), xytext=(4, 3), textcoords="offset points",
        fontsize=7.5, color=INK, zorder=5,
    )  # fmt: skip


def _list_names(figure: Figure, axes: Axes, points: Sequence[_Point]) -> None:
    names = shortened([point.strategy for point in points], 32)
    figure.legend(
        [axes.plot([], [], linestyle="none")[0] for _ in points],
        [f"{point.number:\u2007>2}  {name}" for point, name in zip(points, names, strict=True)],
        loc="outside right upper", handlelength=0, handletextpad=0, labelspacing=0.25,
    )  # fmt: skip


def _short(value: float) -> str:
    """Write a number of parameters with at most four digits: 61.84k, 1.032M."""
    if not np.isfinite(value) or value <= 0:
        return ""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.4g}{letter}"
    return f"{value:.4g}"
