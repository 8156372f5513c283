"""Figures show test images with true maps, and every strategy's predictions and errors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ..data.map_pictures import class_colours
from ..data.objectives.maps.normals import unit
from ..networks.map_samples import MapSamples
from ..plugins.report_figure import ReportFigure
from ..runs.records import Group, Select
from .class_figures import MOST_TASKS
from .contact_sheet import visible
from .figure import MUTED, PALETTE, SEQUENTIAL, bare, new_figure, shortened, slug, style
from .middle import middle_run

#: From no error to the largest one.
ERRORS = LinearSegmentedColormap.from_list("errors", ["#eef0f2", "#F0B27A", PALETTE[3], "#5c2400"])
_CELL = 1.2  # inches
_NAMED = 24  # classes up to which all are named


@dataclass(frozen=True)
class _Task:
    """A task has maps by strategy, and scales that all of them share."""

    name: str
    by_strategy: Mapping[str, MapSamples]

    @property
    def first(self) -> MapSamples:
        return next(iter(self.by_strategy.values()))

    @property
    def coloured(self) -> bool:
        """Return whether maps have colours of their own and need no scale."""
        return self.first.drawing in ("classes", "directions")

    def values(self) -> Normalize:
        """Scale from the smallest to the largest true value."""
        if self.first.drawing == "shares":
            return Normalize(0, 1, clip=True)
        known = self.first.targets[:, 0][self.first.known]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        return Normalize(low, high if high > low else low + 1, clip=True)

    def errors(self) -> Normalize:
        """Scale from 0 to the 99th percentile of all strategies' errors."""
        if self.first.drawing in ("classes", "shares"):
            return Normalize(0, 1, clip=True)
        every = [found.errors()[found.known] for found in self.by_strategy.values()]
        pixels = torch.cat(every).numpy()
        limit = float(np.percentile(pixels, 99)) if len(pixels) else 0.0
        return Normalize(0, limit if limit > 0 else 1, clip=True)


def map_figures(group: Group, select: Select) -> Iterator[ReportFigure]:
    """Draw for each task with maps those of every strategy's run with the middle error.

    Strategies whose runs have other test images than the first one's are left out.

    Raises:
        MtlError: if a run's file is damaged.
    """
    found: dict[str, Mapping[str, MapSamples]] = {}
    for strategy in group.strategies:
        runs = group.done(strategy)
        if runs:
            found[strategy] = runs[middle_run(runs)].maps(select)
    tasks = [task for task in group.tasks if any(task in maps for maps in found.values())]
    for task in tasks[:MOST_TASKS]:
        with_maps = {strategy: maps[task] for strategy, maps in found.items() if task in maps}
        first = next(iter(with_maps.values()))
        shown = {name: maps for name, maps in with_maps.items() if _same_images(maps, first)}
        yield _figure(_Task(task, shown), len(tasks))


def _same_images(one: MapSamples, other: MapSamples) -> bool:
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)


def _figure(task: _Task, count: int) -> ReportFigure:
    images, (height, width) = len(task.first.rows), task.first.known.shape[1:]
    rows = 1 + len(task.by_strategy)
    cell = _CELL * max(min(height / width, 2), 0.4)
    with style():
        figure = new_figure(2 * _CELL * images + 0.7, (cell + 0.05) * rows + 0.95)
        axes = figure.subplots(rows, 2 * images, squeeze=False)
        values, errors = task.values(), task.errors()
        for image in range(images):
            left, right = axes[0, 2 * image : 2 * image + 2]
            _show(left, _input(task.first, image), "input")
            _show(right, _drawn(task.first, task.first.targets, image, values), "true")
        for row, (strategy, found) in enumerate(task.by_strategy.items(), 1):
            for image in range(images):
                left, right = axes[row, 2 * image : 2 * image + 2]
                _show(
                    left,
                    _drawn(found, found.predictions, image, values),
                    "predicted" if row == 1 else "",
                )
                wrong = np.where(found.known[image], found.errors()[image], np.nan)
                _show(right, _shaded(wrong, ERRORS, errors), "error" if row == 1 else "")
            axes[row, 0].set_ylabel(shortened([strategy], 20)[0])
        _legend(figure, axes, task, values, errors)
    means = [
        f"{strategy} {float(found.errors()[found.known].mean()):.3g}"
        for strategy, found in task.by_strategy.items()
    ]
    rest = f" The first {MOST_TASKS} of {count} tasks." if count > MOST_TASKS else ""
    return ReportFigure(
        f"maps-{slug(task.name)}",
        f"Maps of {task.name}",
        f"Test images {', '.join(map(str, task.first.rows))} with their true maps of {task.name}, "
        f"and below them predictions and errors; mean error in them: {'; '.join(means)}.",
        "Above: images at equal distances in the test split, and their true maps. Below: what each "
        f"strategy's run with the middle error predicts, and its errors: {_said(task)} Grey: "
        f"no label.{rest}",
        figure,
        wide=True,
    )


def _said(task: _Task) -> str:
    if task.first.drawing == "classes":
        return "dark pixels get another class."
    return "one scale for all strategies, in which the largest 1 % have the last colour."


def _show(axes: Axes, picture: NDArray[Any], title: str) -> None:
    axes.imshow(picture, interpolation="nearest")
    bare(axes)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=8, pad=2)


def _input(found: MapSamples, image: int) -> NDArray[Any]:
    """Return the input as (height, width, 3); the first channel alone unless there are 3 or 4."""
    pixels = visible(found.inputs[image]).permute(1, 2, 0).numpy()
    channels = pixels[..., :3] if pixels.shape[2] in (3, 4) else pixels[..., :1]
    return np.broadcast_to(channels, (*pixels.shape[:2], 3))


def _drawn(found: MapSamples, maps: torch.Tensor, image: int, scale: Normalize) -> NDArray[Any]:
    known = found.known[image].numpy()
    if found.drawing == "classes":
        numbers = maps[image, 0].long().clamp(0, max(len(found.classes) - 1, 0)).numpy()
        colours: NDArray[Any] = class_colours(max(len(found.classes), 1))[numbers] / 255
    elif found.drawing == "directions":
        colours = (unit(maps[image : image + 1])[0].permute(1, 2, 0).numpy() + 1) / 2
    else:
        values = maps[image, 0].numpy()
        return _shaded(np.where(known | (maps is found.predictions), values, np.nan),
                       SEQUENTIAL, scale)  # fmt: skip
    if maps is found.predictions:
        return colours
    return np.where(known[..., None], colours, to_rgb(MUTED))


def _shaded(
    values: NDArray[Any], colours: LinearSegmentedColormap, scale: Normalize
) -> NDArray[Any]:
    """Return the colours of values, grey where they are NaN."""
    unknown = np.isnan(values)
    shown = np.asarray(colours(scale(np.where(unknown, 0, values))))[..., :3]
    return np.where(unknown[..., None], to_rgb(MUTED), shown)


def _legend(
    figure: Figure, axes: NDArray[Any], task: _Task, values: Normalize, errors: Normalize
) -> None:
    """Explain the colours below the maps."""
    if task.first.drawing == "classes":
        colours = class_colours(len(task.first.classes)) / 255
        names = shortened(task.first.classes[:_NAMED], 14)
        patches = [Patch(color=c, label=n) for c, n in zip(colours, names, strict=False)]
        figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(patches)))
        return
    unit_of_errors = "angle (°)" if task.first.drawing == "directions" else "absolute error"
    bars: list[tuple[str, Any, Normalize]] = [(unit_of_errors, ERRORS, errors)]
    if not task.coloured:
        bars.insert(0, (task.name, SEQUENTIAL, values))
    for label, colours, scale, each in zip(
        *zip(*bars, strict=True), np.array_split(axes, len(bars), 1), strict=True
    ):
        bar = figure.colorbar(
            ScalarMappable(scale, colours), ax=list(each.flat), location="bottom",
            fraction=0.03, pad=0.02, aspect=28, shrink=0.9 * len(bars) / 2,
        )  # fmt: skip
        bar.set_label(label, fontsize=8)
        bar.outline.set_visible(False)
