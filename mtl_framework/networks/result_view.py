"""A result shows itself in Python: as one line, as a notebook's table, as a data frame."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..data.metrics.shown import shown_value
from ..support.frames import data_frame
from .assignment import Assignment
from .best import Best
from .evaluation import SplitMetrics

Shown = TypeVar("Shown", bound="ShownResult")

# Okabe and Ito 2008: distinct for all kinds of colour vision. Letters say the same without colour.
COLOURS = (
    ("#56B4E9", "#000000"),
    ("#E69F00", "#000000"),
    ("#009E73", "#000000"),
    ("#F0E442", "#000000"),
    ("#CC79A7", "#000000"),
    ("#D55E00", "#000000"),
    ("#0072B2", "#FFFFFF"),
    ("#999999", "#000000"),
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CELL = "text-align: right; padding: 0 0.8em 0 0"


class ShownResult:
    """This is how a run's result looks; see :class:`Result`."""

    strategy: str
    backbone: str
    suite: str
    seed: int
    iterations: int
    metrics: dict[str, str]
    test: "SplitMetrics"
    validation: "SplitMetrics | None"
    best: "Best | None"
    assignment: "Assignment | None"

    @property
    def directory(self) -> Path | None:
        """Return the run's folder; ``None`` where the result is not that of a folder's run."""
        folder: Path | None = vars(self).get("_directory")
        return folder

    def located(self: Shown, directory: Path) -> Shown:
        """Return the same result, knowing its folder from now on, which is none of its figures."""
        vars(self)["_directory"] = directory
        return self

    def to_pandas(self) -> Any:
        """Return the figures as a data frame: a row a task and split, with metric, value and loss.

        Splits are ``validation`` and ``test``, after the last step, and ``best validation`` and
        ``best test`` of the networks that validation prefers.

        Raises:
            MtlError: if pandas (extra ``pandas``) is not installed.
        """
        return data_frame(
            {
                "task": task,
                "split": name,
                "metric": self.metrics[task],
                "value": split.per_task[task],
                "loss": split.loss_per_task[task],
            }
            for name, split in self._splits(best=True).items()
            for task in self.metrics
        )

    def __repr__(self) -> str:
        mean = self.test.error_mean
        figures = [
            f"{task} {shown_value(value, self.metrics[task])}"
            for task, value in self.test.per_task.items()
        ]
        short = ", ".join(figures[:3]) + (", ..." if len(figures) > 3 else "")
        what = f"mean {shown_value(mean, self._unit)}" if mean is not None else short
        return (
            f"<Result: {self.strategy} on {self.suite}, {self.backbone}, seed {self.seed}, "
            f"{self.iterations} iterations, test {what}>"
        )

    def _repr_html_(self) -> str:
        splits = self._splits()
        rows = [
            [
                task,
                self.metrics[task],
                *(
                    shown_value(split.per_task[task], self.metrics[task])
                    for split in splits.values()
                ),
            ]
            for task in self.metrics
        ]
        means = [split.error_mean for split in splits.values()]
        if all(mean is not None for mean in means):
            rows.append(["mean over tasks", "", *(shown_value(m, self._unit) for m in means)])
        head = (
            f"{self.strategy} on {self.suite}, {self.backbone}, seed {self.seed}, "
            f"{self.iterations} iterations"
        )
        where = (
            "" if self.directory is None else f"<div>run: {html.escape(str(self.directory))}</div>"
        )
        grid = "" if self.assignment is None else sharing_html(self.assignment)
        table = html_table(["task", "metric", *splits], rows, left=2)
        return f"<div><b>{html.escape(head)}</b></div>{table}{grid}{where}"

    @property
    def _unit(self) -> str:
        """Return the label of the first task's metric, which all tasks have if there is a mean."""
        return next(iter(self.metrics.values()))

    def _splits(self, best: bool = False) -> dict[str, SplitMetrics]:
        found = {"validation": self.validation, "test": self.test}
        if best and self.best is not None:
            found |= {"best validation": self.best.validation, "best test": self.best.test}
        return {name: split for name, split in found.items() if split is not None}


def by_appearance(weights: Sequence[int]) -> list[int]:
    """Renumber the weights of one unit from 0 in the order in which tasks first use them."""
    order = {weight: number for number, weight in enumerate(dict.fromkeys(weights))}
    return [order[weight] for weight in weights]


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Make a table of texts; the first ``left`` columns hold names, the others numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        styles = [
            "text-align: left; padding: 0 0.8em 0 0" if n < left else _CELL
            for n in range(len(cells))
        ]
        return "".join(
            f'<{tag} style="{style}">{html.escape(cell)}</{tag}>'
            for cell, style in zip(cells, styles, strict=True)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def sharing_html(assignment: Assignment) -> str:
    """Make a table of units by tasks; in a row, tasks with the same letter and colour share."""
    head = "".join(
        f'<th style="padding: 0 0.3em">{html.escape(task)}</th>' for task in assignment.tasks
    )
    rows = []
    for name, weights in zip(assignment.units, assignment.weights, strict=True):
        cells = "".join(_weight(number) for number in by_appearance(weights))
        label = f'<td style="text-align: right; padding: 0 0.5em">{html.escape(name)}</td>'
        rows.append(f"<tr>{label}{cells}</tr>")
    title = "<div>sharing: in each row, tasks with the same letter use the same weights</div>"
    body = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f"{title}<table>{body}</table>"


def _weight(number: int) -> str:
    colour, ink = COLOURS[number % len(COLOURS)]
    style = f"background: {colour}; color: {ink}; text-align: center; padding: 0 0.6em"
    return f'<td style="{style}">{LETTERS[number % len(LETTERS)]}</td>'
