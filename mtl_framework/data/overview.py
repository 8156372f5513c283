"""A suite's data in numbers: kinds, counts, classes, missing labels, copies between splits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor

from .copies import row_digests
from .examples import parts
from .objectives import Binary, Classification, MapObjective, MultiLabel, Objective
from .readers import labelled_rows
from .tasks import Examples, Suite, Task

_MOST_CLASSES = 12  # classes that are listed one by one


@dataclass(frozen=True)
class TaskOverview:
    """An overview sums up the data of one task.

    Args:
        name: name of the task.
        kind: kind of its labels, e.g. ``3 classes``.
        examples: number of examples in each split.
        labelled: number of examples with a label in each split.
        labels: how often each class occurs in all splits together, or the range of the numbers.
        inputs: shape and dtype of one input, e.g. ``3x32x32 uint8``.
        copies: number of inputs that occur in two splits; counted only where inputs are in memory.
    """

    name: str
    kind: str
    examples: dict[str, int]
    labelled: dict[str, int]
    labels: str
    inputs: str
    copies: int

    @property
    def missing(self) -> int:
        """Return the number of examples without a label."""
        return sum(self.examples.values()) - sum(self.labelled.values())

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.examples.items())
        missing = f", {self.missing} without a label" if self.missing else ""
        return f"{self.name}: {self.kind}, {counts}{missing}"


def overview(suite: Suite, copies: bool = False) -> list[TaskOverview]:
    """Summarise every task's data; with ``copies``, inputs that occur in two splits are counted."""
    return [_of(task, copies) for task in suite.tasks]


def in_short(suite: Suite, most: int = 5) -> str:
    """Describe the data of the first ``most`` tasks in one line."""
    lines = [str(task) for task in overview(suite)]
    more = f"; and {_counted(len(lines) - most, 'more task')}" if len(lines) > most else ""
    return "data: " + "; ".join(lines[:most]) + more


def _of(task: Task, copies: bool) -> TaskOverview:
    splits = task.splits()
    objective = task.objective
    if isinstance(objective, MapObjective):
        kind, text = objective.kind, _of_maps(objective, splits)
    else:
        kind, text = _of_labels(
            objective, torch.cat([_labelled(examples) for examples in splits.values()])
        )
    dtype = str(task.train.inputs.dtype).removeprefix("torch.")
    shape = "x".join(map(str, task.train.input_shape))
    return TaskOverview(
        task.name,
        kind,
        {split: len(examples) for split, examples in splits.items()},
        {split: examples.num_labelled for split, examples in splits.items()},
        text,
        f"{shape} {dtype}",
        _copies(splits) if copies else 0,
    )


def _of_labels(objective: Objective, labels: Shaped[Tensor, "rows *dims"]) -> tuple[str, str]:
    """Kind of labels, and how often each class occurs or the range of the numbers."""
    if isinstance(objective, Classification):
        names = objective.class_names or tuple(map(str, range(objective.num_classes)))
        counts = torch.bincount(labels, minlength=len(names)).tolist()
        balance = _balance(dict(zip(names, counts, strict=True)))
        return f"{objective.num_classes} classes", balance
    if isinstance(objective, Binary):
        return "0 or 1", _balance({str(n): int((labels == n).sum()) for n in (0, 1)})
    if isinstance(objective, MultiLabel):
        sums = (labels > 0).sum(0).tolist()
        with_it = dict(zip(objective.names, sums, strict=True))
        unknown = int((labels < 0).sum())
        more = f"; {unknown} not known" if unknown else ""
        return f"{objective.num_labels} labels", _balance(with_it, "label") + more
    names = getattr(objective, "target_names", ())
    if names:
        ranges = [f"{n} {_range(column)}" for n, column in zip(names, labels.T, strict=True)]
        return f"{len(names)} numbers", "; ".join(ranges)
    return type(objective).__name__.lower(), _range(labels)


def _range(labels: Tensor) -> str:
    text = f"from {float(labels.min()):g} to {float(labels.max()):g}"
    return f"{text}, mean {float(labels.mean()):g}" if labels.is_floating_point() else text


def _of_maps(objective: MapObjective, splits: Mapping[str, Examples]) -> str:
    """Range of the numbers in maps, and how many of their pixels have a label."""
    pixels, known, low, high = 0, 0, math.inf, -math.inf
    for examples in splits.values():
        for rows in parts(examples, labelled_rows([examples])):
            targets = examples.targets[rows]
            mask = objective.known(targets)
            pixels, known = pixels + mask.numel(), known + int(mask.sum())
            if mask.shape == targets.shape:  # directions have no range
                values = targets.double()
                low = min(low, float(values.masked_fill(~mask, math.inf).min()))
                high = max(high, float(values.masked_fill(~mask, -math.inf).max()))
    share = f"{100 * known / max(pixels, 1):.4g} % of the pixels known"
    return f"from {low:g} to {high:g}, {share}" if low <= high else share


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _labelled(examples: Examples) -> Tensor:
    return examples.targets if examples.labelled is None else examples.targets[examples.labelled]


def _balance(counts: dict[str, int], noun: str = "class") -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    if len(ordered) <= _MOST_CLASSES:
        return ", ".join(f"{name} {count}" for name, count in ordered)
    (most, high), (least, low) = ordered[0], ordered[-1]
    return f"from {low} ({least}) to {high} ({most}) examples a {noun}"


def _copies(splits: dict[str, Examples]) -> int:
    """Count the inputs of a split that an earlier split has, too."""
    seen: set[bytes] = set()
    count = 0
    for examples in splits.values():
        if not isinstance(examples.inputs, Tensor):
            return 0
        here = row_digests(examples.inputs)
        count += sum(digest in seen for digest in here)
        seen |= set(here)
    return count
