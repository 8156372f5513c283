"""A suite's data in numbers: kinds, counts, classes, missing labels, copies between splits."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .objectives import Binary, Classification
from .tasks import Examples, Suite, Task

_MOST_CLASSES = 12  # classes that are listed one by one


@dataclass(frozen=True)
class TaskOverview:
    """A summary of one task's data.

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
        """Examples without a label."""
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
    more = f"; and {len(lines) - most} more tasks" if len(lines) > most else ""
    return "data: " + "; ".join(lines[:most]) + more


def _of(task: Task, copies: bool) -> TaskOverview:
    splits = task.splits()
    labels = torch.cat([_labelled(examples) for examples in splits.values()])
    objective = task.objective
    if isinstance(objective, Classification):
        kind = f"{objective.num_classes} classes"
        names = objective.class_names or tuple(map(str, range(objective.num_classes)))
        counts = torch.bincount(labels, minlength=len(names)).tolist()
        text = _balance(dict(zip(names, counts, strict=True)))
    elif isinstance(objective, Binary):
        kind = "0 or 1"
        text = _balance({"0": int((labels == 0).sum()), "1": int((labels == 1).sum())})
    else:
        kind = type(objective).__name__.lower()
        text = f"from {float(labels.min()):g} to {float(labels.max()):g}"
        if labels.is_floating_point():
            text += f", mean {float(labels.mean()):g}"
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


def _labelled(examples: Examples) -> Tensor:
    return examples.targets if examples.labelled is None else examples.targets[examples.labelled]


def _balance(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    if len(ordered) <= _MOST_CLASSES:
        return ", ".join(f"{name} {count}" for name, count in ordered)
    (most, high), (least, low) = ordered[0], ordered[-1]
    return f"from {low} ({least}) to {high} ({most}) examples a class"


def _copies(splits: dict[str, Examples]) -> int:
    """Count the inputs of a split that an earlier split has, too."""
    seen: set[bytes] = set()
    count = 0
    for examples in splits.values():
        if not isinstance(examples.inputs, Tensor):
            return 0
        flat = examples.inputs.detach().cpu().reshape(len(examples), -1)
        flat = flat.clone(memory_format=torch.contiguous_format)  # expanded rows too
        content: np.ndarray = flat.view(torch.uint8).numpy()
        here = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in content]
        count += sum(digest in seen for digest in here)
        seen |= set(here)
    return count
