"""Networks are measured as they stand: metric and loss of every task, on every split."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones.recurrent import fresh_state
from ..data.batches import LabelledRows, input_batches
from ..data.images import RAW, ImageNormalization
from ..data.metrics.shown import shown_value
from ..data.readers import labelled_rows
from ..data.tasks import Suite, Task
from ..support.seeding import untouched_generators
from .measuring import Measured, TaskMeasure
from .model import MultiTaskModel


@dataclass(frozen=True)
class SplitMetrics:
    """These are the figures of the networks on one split.

    Args:
        error_mean: mean of the tasks' main metrics; ``None`` where those differ, as it says
            nothing. It is no base for a choice where metrics have units (:func:`can_be_averaged`).
        error_pooled: the metric over all examples of all tasks together, which is what the
            published code of learned weight sharing reports; ``None`` where metrics differ, or are
            not the objectives' own.
        per_task: the main metric of each task, in its own unit, by task name. Lower is better,
            unless the task is in ``ideals``.
        loss_per_task: mean loss of each task, by task name.
        metrics: every reported metric of each task, by task name and label; ``None`` where it is
            not defined for these examples.
        ideals: for tasks whose main metric is better when larger, the value that it cannot surpass.
        averaged: whether the mean of the main metrics means something (:func:`can_be_averaged`).
    """

    error_mean: float | None
    error_pooled: float | None
    per_task: dict[str, float]
    loss_per_task: dict[str, float]
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    ideals: dict[str, float] = field(default_factory=dict)
    averaged: bool = True

    @property
    def gaps(self) -> dict[str, float]:
        """Return what every task lacks: its metric, or if larger is better, the ideal minus it."""
        return {
            task: self.ideals[task] - value if task in self.ideals else value
            for task, value in self.per_task.items()
        }

    @property
    def overall(self) -> float:
        """Return a number by which figures of the same tasks are ordered; lower is better.

        The mean; where metrics differ, or have units, their geometric mean, whose order does not
        depend on units.
        """
        gaps = self.gaps
        if self.averaged and self.error_mean is not None:
            return self.error_mean if not self.ideals else sum(gaps.values()) / len(gaps)
        return float(math.prod(max(value, 0.0) ** (1 / len(gaps)) for value in gaps.values()))


@dataclass(frozen=True)
class Evaluation:
    """An evaluation holds the figures of the networks after ``iteration`` steps, on each split.

    ``splits`` always has ``"test"``, and ``"validation"`` where every task has such examples.
    """

    iteration: int
    splits: dict[str, SplitMetrics]


def evaluate(
    network: MultiTaskModel,
    suite: Suite,
    iteration: int,
    device: torch.device,
    batch_size: int,
    normalizations: Sequence[ImageNormalization] = (),
    workers: int = 0,
    details: MutableMapping[str, Any] | None = None,
) -> Evaluation:
    """Evaluate on validation and test examples; the training examples are never read.

    Examples without a label of a task do not count for it. Recurrent networks begin every split of
    a task anew. Runs in evaluation mode and without gradients. Leaves the mode of every module,
    states of recurrent ones, and all global random generators, as they were.

    Args:
        network: the networks, on ``device``.
        suite: the suite, its tasks in the order of the network's.
        iteration: number of steps done, recorded with the figures.
        device: the device of the network.
        batch_size: number of rows of a forward pass, unless the examples are streams.
        normalizations: how uint8 images are normalised, one for each task; default: not at all.
        workers: number of processes that read images from files.
        details: a dictionary that gets, by task name, what a report draws of the test examples.

    Raises:
        MtlError: naming an image that cannot be read, or a task whose chosen main metric is not
            defined for the examples.
    """
    splits = ["test"]
    if all(task.validation is not None for task in suite.tasks):
        splits.insert(0, "validation")
    given = tuple(normalizations) or (RAW,) * len(suite)
    with torch.no_grad(), untouched_generators(device), evaluation_mode(network):
        measured = {}
        for split in splits:
            found: dict[int, Measured] = {}
            detailed = details is not None and split == "test"
            for group in _groups(suite, split, given):
                data = [suite.tasks[number].splits()[split] for number in group]
                rows = labelled_rows(data)
                batches = input_batches(data[0], rows, batch_size, device, given[group[0]], workers)
                with fresh_state(network):
                    found |= _measure(network, suite, group, split, batches, detailed)
            each = [found[number] for number in range(len(suite))]
            measured[split] = summarize(suite.tasks, each)
            if details is not None and detailed:
                details.update({t.name: m.detail for t, m in zip(suite.tasks, each, strict=True)})
    return Evaluation(iteration, measured)


def _groups(
    suite: Suite, split: str, normalizations: Sequence[ImageNormalization]
) -> list[tuple[int, ...]]:
    """Group tasks whose inputs are read together: all with a common input, else each alone.

    A network that carries its state along a stream sees one task after the other.
    """
    streams = suite.tasks[0].splits()[split].streams is not None
    if suite.common_input and not streams and len(set(normalizations)) == 1:
        return [tuple(range(len(suite)))]
    return [(number,) for number in range(len(suite))]


def _measure(
    network: MultiTaskModel,
    suite: Suite,
    group: Sequence[int],
    split: str,
    batches: Iterator[tuple[Tensor, Tensor]],
    detailed: bool,
) -> dict[int, Measured]:
    """Return the figures of every task of a group, over its labelled rows."""
    measures = {n: TaskMeasure(suite.tasks[n], split, detailed) for n in group}
    for rows, inputs in batches:
        if len(group) == len(suite):
            all_outputs = network.predict_all(inputs)
        else:
            all_outputs = [network.predict(number, inputs) for number in group]
        for number, outputs in zip(group, all_outputs, strict=True):
            data = suite.tasks[number].splits()[split]
            targets = data.targets[rows]
            labelled = LabelledRows(None if data.labelled is None else data.labelled[rows])
            measures[number].update(*labelled.of(outputs, targets))
    return {number: measure.result() for number, measure in measures.items()}


_WITHOUT_UNIT = {"R²", "Spearman ρ", "quadratic κ"}


def can_be_averaged(metrics: Sequence[str]) -> bool:
    """Say whether tasks' metrics may be averaged: all are the same, and without a unit.

    Shares in per cent can be averaged. Root mean squared errors, one of metres and one of euros,
    bear the same name and cannot: the largest would decide alone.

    Args:
        metrics: name of every task's metric.
    """
    alike = len(set(metrics)) == 1 and (metrics[0].endswith("%") or metrics[0] in _WITHOUT_UNIT)
    return len(metrics) == 1 or alike


def summarize(tasks: Sequence[Task], measured: Sequence[Measured]) -> SplitMetrics:
    """Sum up the figures of every task as figures of the split."""
    names = [task.name for task in tasks]
    one_metric = len({task.metric for task in tasks}) == 1
    scored = one_metric and all(task.main_metric is None for task in tasks)
    score, rows = sum(m.score for m in measured), sum(m.rows for m in measured)
    mains = [m.main for m in measured]
    return SplitMetrics(
        error_mean=sum(mains) / len(mains) if one_metric else None,
        error_pooled=tasks[0].objective.summarize(score / rows) if scored else None,
        per_task=dict(zip(names, mains, strict=True)),
        loss_per_task={name: m.loss for name, m in zip(names, measured, strict=True)},
        metrics={name: m.metrics for name, m in zip(names, measured, strict=True) if m.metrics},
        ideals={
            name: m.ideal for name, m in zip(names, measured, strict=True) if m.ideal is not None
        },
        averaged=can_be_averaged([task.metric for task in tasks]),
    )


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluate inside; afterwards every module, frozen ones too, has its own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


_MOST_TASKS = 6


def _most(backbones: Mapping[str, str]) -> list[tuple[str, str]]:
    """Write tasks and their backbones; tasks with the same one together, where they are many."""
    if len(backbones) <= _MOST_TASKS:
        return list(backbones.items())
    tasks = Counter(backbones.values())
    return [(f"{count} tasks", name) for name, count in tasks.items()]


def split_text(split: SplitMetrics, metrics: Mapping[str, str]) -> str:
    """Write a split's figures in a few words: the mean, or where metrics differ each task's."""
    if split.error_mean is not None:
        return shown_value(split.error_mean, next(iter(metrics.values())))
    shown = [
        f"{task} {shown_value(value, metrics[task])} {metrics[task]}"
        for task, value in split.per_task.items()
    ]
    rest = [f"{len(shown) - _MOST_TASKS} more"] if len(shown) > _MOST_TASKS else []
    return "; ".join([*shown[:_MOST_TASKS], *rest])
