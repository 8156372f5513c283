"""A report shows what the search did, and who uses what it found."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from mtl_framework import FinishedRun
from mtl_framework.plotting import (
    INK,
    MARKERS,
    MUTED,
    ReportFigure,
    colour_of,
    new_figure,
    shortened,
    style,
)

from .chance import layer_sharing
from .generic import STATISTICS, contrasts
from .usage import Places, kinds

_MOST_LABELS = 40
_ROWS = ("hypermodules", "contexts", "maps")


@dataclass(frozen=True)
class _MappedRun:
    """It holds what a finished run of this strategy left behind."""

    record: FinishedRun
    label: str
    places: Places
    state: dict[str, Any]

    @property
    def mapping(self) -> torch.Tensor:
        mapping: torch.Tensor = self.state["candidates"][:, 0]
        return mapping

    @property
    def generations(self) -> int:
        return int(self.record.config["strategy"]["steps_per_generation"])

    def history(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return generations (as fractions), and the values of a metric."""
        rows = self.record.history.metrics.get(name, ())
        steps = np.array([iteration for iteration, _ in rows]) / self.generations
        return steps, np.array([value for _, value in rows])


def figures(runs: Sequence[FinishedRun]) -> list[ReportFigure]:
    """Draw, for every setting of this strategy, its finished run with the lowest seed."""
    chosen: dict[str, FinishedRun] = {}
    for record in sorted(runs, key=lambda record: record.seed):
        if record.result is not None and record.result.strategy == "muir":
            chosen.setdefault(record.strategy, record)
    return [figure for label, record in chosen.items() for figure in _figures(label, record)]


def _figures(label: str, record: FinishedRun) -> Iterator[ReportFigure]:
    state = record.checkpoint()
    places = Places.from_state(state["places"])
    mapped = _MappedRun(record, label, places, state["network"])
    yield from _users_over_time(mapped)
    yield from _alignment(mapped)
    if len(places.task_names) > 1 and any(count > 1 for _, _, count in places.weights):
        yield _layers(mapped)
    yield from _generic(mapped)


def _name(mapped: _MappedRun, what: str) -> str:
    label = re.sub(r"[^A-Za-z0-9]+", "-", mapped.label).strip("-")
    return f"{label}-{what}"


def _users_over_time(mapped: _MappedRun) -> Iterator[ReportFigure]:
    steps, counts = mapped.history("modules_by_users")
    if not len(steps):
        return
    names, counts = _binned(kinds(mapped.places.task_names), counts)
    shown = [n for n in range(len(names)) if counts[:, n].any()]
    with style():
        figure = new_figure(6.4, 3.4)
        axes = figure.subplots()
        for order, n in enumerate(shown):
            axes.plot(
                steps, counts[:, n], color=colour_of(order), linewidth=1.4,
                linestyle=("-", "--", ":", "-.")[order // 8 % 4], label=names[n],
            )  # fmt: skip
        axes.set_xlabel("generation")
        axes.set_ylabel("modules")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="used by")
    last = ", ".join(f"{names[n]}: {int(counts[-1, n])}" for n in shown if counts[-1, n])
    yield ReportFigure(
        _name(mapped, "modules"),
        f"Which tasks use the modules of {mapped.label}",
        f"Lines over {steps[-1]:.0f} generations; at the end {last}.",
        f"Number of hypermodules by the tasks that use them, seed {mapped.record.seed} "
        "(Figure 3a of the paper). At the start every block has its own.",
        figure,
    )


def _binned(names: list[str], counts: Any) -> tuple[list[str], Any]:
    """Bin numbers of tasks into a few groups, where there are many."""
    if len(names) <= 8 or not names[0].endswith("task"):
        return names, counts
    edges = [n for n in (1, 2, 3, 6, 11, 21) if n <= len(names)] + [len(names) + 1]
    labels, columns = [], []
    for start, end in pairwise(edges):
        text = f"{start} to {end - 1} tasks" if end - start > 1 else f"{start} tasks"
        labels.append("1 task" if start == 1 else text)
        columns.append(counts[:, start - 1 : end - 1].sum(1))
    return labels, np.stack(columns, 1)


def _alignment(mapped: _MappedRun) -> Iterator[ReportFigure]:
    steps, mappings = mapped.history("mapping")
    if not len(steps):
        return
    final = mappings[-1]
    modules, uses = np.unique(final, return_counts=True)
    common = modules[uses > 1][np.argsort(-uses[uses > 1], kind="stable")][:8]
    changes = np.flatnonzero((mappings != final).any(1))
    settled = steps[changes[-1] + 1] if len(changes) else steps[0]
    tasks = [mapped.places.task_names[t] for t in mapped.places.tasks_of_locations().tolist()]
    with style():
        figure = new_figure(6.4, 1.2 + 0.13 * len(final))
        axes = figure.subplots()
        order = np.argsort([list(modules).index(m) for m in final], kind="stable")
        for row, location in enumerate(order):
            inside = mappings[:, location]
            for number, module in enumerate(common):
                _bars(axes, steps, inside == module, row, colour_of(number), 0.85)
            _bars(axes, steps, ~np.isin(inside, common), row, MUTED, 0.3)
        axes.axvline(settled, color=INK, linewidth=0.9, linestyle=":")
        axes.set_xlim(0, steps[-1])
        axes.set_ylim(len(final), 0)
        axes.set_xlabel("generation")
        labelled = len(final) <= _MOST_LABELS
        names = shortened([tasks[n] for n in order]) if labelled else []
        axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=6)
        axes.set_ylabel("" if labelled else "location")
        axes.grid(False)
    yield ReportFigure(
        _name(mapped, "alignment"),
        f"Convergence of the alignment of {mapped.label}",
        f"Bars, one for each of {len(final)} locations; {len(modules)} modules are left, and "
        f"nothing changes after generation {settled:.0f}.",
        f"Modules that several locations share at the end have a colour each, all others are grey; "
        f"dotted: the last change. Seed {mapped.record.seed} (Figure 2 of the paper).",
        figure,
    )


def _bars(axes: Any, steps: Any, inside: Any, row: int, colour: str, alpha: float) -> None:
    """Make one bar for each stretch of time in which a location has the same module."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    ends = np.append(steps, steps[-1])
    spans = [(ends[a], ends[b] - ends[a]) for a, b in edges.reshape(-1, 2)]
    axes.broken_barh(spans, (row + 0.08, 0.84), facecolor=colour, alpha=alpha, linewidth=0)


def _layers(mapped: _MappedRun) -> ReportFigure:
    sharing = layer_sharing(mapped.mapping, mapped.places)
    weights = mapped.places.weights
    tasks = mapped.places.task_names
    with style():
        figure = new_figure(min(max(6.4, 1.6 + 0.16 * len(weights)), 14), 3.6)
        axes = figure.subplots()
        positions = np.arange(len(weights))
        axes.vlines(positions, sharing.low, sharing.high, color=MUTED, linewidth=3, alpha=0.5)
        axes.plot(
            positions, sharing.expected, linestyle="none", marker="_", color=MUTED,
            label="chance, and 95 % of random deals",
        )  # fmt: skip
        several = len(tasks) <= 8
        for number, task in enumerate(tasks if several else ("observed",)):
            own = [n for n, (t, _, _) in enumerate(weights) if t == task or not several]
            axes.plot(
                positions[own], sharing.observed[own], linestyle="none", markersize=5,
                marker=MARKERS[number % 8], color=colour_of(number), label=task,
            )  # fmt: skip
        labels = [name.removesuffix(".weight") if several else task for task, name, _ in weights]
        if len(labels) <= _MOST_LABELS:
            axes.set_xticks(positions, shortened(labels, 24), rotation=90, fontsize=6)
        axes.set_xlabel("generated weight, task by task in the order of use")
        axes.set_ylabel("share of its blocks")
        axes.set_ylim(-0.03, 1.03)
        handles, names = axes.get_legend_handles_labels()
        columns = 4 if figure.get_figwidth() > 8 else 2
        figure.legend(handles, names, loc="outside upper left", ncols=columns)
    inside = (sharing.observed >= sharing.low) & (sharing.observed <= sharing.high)
    return ReportFigure(
        _name(mapped, "layers"),
        f"What the layers of {mapped.label} share with other tasks",
        f"Dots for {len(weights)} weights: {int((sharing.observed > sharing.high).sum())} share "
        f"more than chance, {int((sharing.observed < sharing.low).sum())} less, "
        f"{int(inside.sum())} as much.",
        "Share of every weight's blocks whose module serves another task, too; grey: the same "
        f"modules dealt out at random. Seed {mapped.record.seed} (Figure 3b of the paper).",
        figure,
        wide=len(weights) > 24,
    )


def _generic(mapped: _MappedRun) -> Iterator[ReportFigure]:
    values, contexts = (
        mapped.state[f"hypermodules.{name}"] for name in ("hypermodules", "contexts")
    )
    rows = contrasts(values, contexts, mapped.mapping)
    if all(np.isnan(row.p) for row in rows):
        return  # only one kind of modules is left
    names = [kind for kind in _ROWS if any(row.kind == kind for row in rows)]
    with style():
        figure = new_figure(6.6, 0.6 + 1.5 * len(names))
        grid = figure.subplots(len(names), len(STATISTICS), squeeze=False)
        for row in rows:
            line, column = names.index(row.kind), STATISTICS.index(row.statistic)
            axes = grid[line][column]
            sides = (("generic", row.generic), ("specific", row.specific))
            for position, (_, numbers) in enumerate(sides):
                if len(numbers):
                    axes.boxplot(
                        numbers, positions=[position], widths=0.6, showfliers=False,
                        medianprops={"color": colour_of(position), "linewidth": 2},
                        boxprops={"color": MUTED}, whiskerprops={"color": MUTED},
                        capprops={"color": MUTED},
                    )  # fmt: skip
            axes.set_xlim(-0.6, 1.6)
            axes.set_xticks([0, 1], [f"{name}\n{len(numbers)}" for name, numbers in sides])
            axes.set_title(_p(row.p), fontsize=8)
            if column == 0:
                axes.set_ylabel(row.kind)
            if line == 0:
                axes.annotate(
                    row.statistic, (0.5, 1.28), xycoords="axes fraction", ha="center", fontsize=9
                )
    words = "; ".join(f"{row.kind}, {row.statistic}: {_p(row.p)}" for row in rows)
    yield ReportFigure(
        _name(mapped, "generic"),
        f"Generic and specific modules of {mapped.label}",
        f"Box plots of {len(rows)} statistics. {words}.",
        "Generic modules serve more than c locations. Boxes: quartiles; below: how many. p: "
        f"two-sided Mann-Whitney U test. Seed {mapped.record.seed} (Table 4 of the paper).",
        figure,
    )


def _p(value: float) -> str:
    return "only one kind" if np.isnan(value) else f"p = {value:.1g}"
