"""Measuring the networks as they stand: metric and loss of every task, on every split."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..backbones.recurrent import fresh_state
from ..data.batches import LabelledRows, input_batches
from ..data.images import RAW, ImageNormalization
from ..data.readers import labelled_rows
from ..data.tasks import Suite, Task
from ..support.seeding import untouched_generators
from .model import MultiTaskModel


@dataclass(frozen=True)
class SplitMetrics:
    """What the networks do on one split.

    Args:
        error_mean: mean of the tasks' metrics; ``None`` where those differ, as it says nothing. It
            is no base for a choice where metrics have units (:func:`can_be_averaged`).
        error_pooled: the metric over all examples of all tasks together, which is what the
            published code of learned weight sharing reports; ``None`` where metrics differ.
        per_task: the metric of each task, in its own unit, by task name.
        loss_per_task: mean loss of each task, by task name.
    """

    error_mean: float | None
    error_pooled: float | None
    per_task: dict[str, float]
    loss_per_task: dict[str, float]

    @property
    def overall(self) -> float:
        """One number to order figures of the same tasks by, lower is better.

        The mean; where metrics differ their geometric mean, whose order does not depend on units.
        """
        if self.error_mean is not None:
            return self.error_mean
        return float(
            math.prod(value ** (1 / len(self.per_task)) for value in self.per_task.values())
        )


@dataclass(frozen=True)
class Evaluation:
    """The networks after ``iteration`` steps, on each split.

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
) -> Evaluation:
    """Evaluate on validation and test examples; the training examples are never read.

    Examples without a label of a task do not count for it. Recurrent networks begin every split of
    a task anew. Runs in evaluation mode and without gradients. Leaves the mode of every module,
    states of recurrent ones, and all global random generators, as they were.

    Args:
        network: on ``device``.
        suite: tasks in the order of the network's.
        iteration: recorded with the figures.
        device: where the network is.
        batch_size: rows of a forward pass, unless the examples are streams.
        normalizations: of uint8 images, one a task; default: none.
        workers: processes that read images from files.

    Raises:
        MtlError: naming an image that cannot be read.
    """
    splits = ["test"]
    if all(task.validation is not None for task in suite.tasks):
        splits.insert(0, "validation")
    given = tuple(normalizations) or (RAW,) * len(suite)
    with torch.no_grad(), untouched_generators(device), evaluation_mode(network):
        measured = {}
        for split in splits:
            sums: dict[int, tuple[float, float]] = {}
            for group in _groups(suite, split, given):
                data = [suite.tasks[number].splits()[split] for number in group]
                rows = labelled_rows(data)
                batches = input_batches(data[0], rows, batch_size, device, given[group[0]], workers)
                with fresh_state(network):
                    sums |= _measure(network, suite, group, split, batches)
            scores, losses = zip(*(sums[number] for number in range(len(suite))), strict=True)
            measured[split] = summarize(suite.tasks, split, scores, losses)
    return Evaluation(iteration, measured)


def _groups(
    suite: Suite, split: str, normalizations: Sequence[ImageNormalization]
) -> list[tuple[int, ...]]:
    """Tasks whose inputs are read together: all with a common input, else each alone.

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
) -> dict[int, tuple[float, float]]:
    """Summed scores and summed losses of every task of a group, over its labelled rows."""
    found: dict[int, list[tuple[Tensor, Tensor]]] = {number: [] for number in group}
    for rows, inputs in batches:
        if len(group) == len(suite):
            all_outputs = network.predict_all(inputs)
        else:
            all_outputs = [network.predict(number, inputs) for number in group]
        for number, outputs in zip(group, all_outputs, strict=True):
            task = suite.tasks[number]
            data = task.splits()[split]
            targets = data.targets[rows]
            labelled = LabelledRows(None if data.labelled is None else data.labelled[rows])
            outputs, targets = labelled.of(outputs, targets)
            targets = targets.to(outputs.device)
            objective = task.objective
            found[number].append(
                (objective.scores(outputs, targets), objective.losses(outputs, targets))
            )
    return {
        number: (_sum([score for score, _ in parts]), _sum([loss for _, loss in parts]))
        for number, parts in found.items()
    }


def can_be_averaged(metrics: Sequence[str]) -> bool:
    """Whether tasks' metrics can be judged by their mean: all are the same, and without a unit.

    Shares in per cent can be averaged. Root mean squared errors, one of metres and one of euros,
    bear the same name and cannot: the largest would decide alone.

    Args:
        metrics: name of every task's metric.
    """
    return len(metrics) == 1 or (len(set(metrics)) == 1 and metrics[0].endswith("%"))


def summarize(
    tasks: Sequence[Task], split: str, scores: Sequence[float], losses: Sequence[float]
) -> SplitMetrics:
    """Metrics from every task's summed scores and losses over its labelled examples of a split."""
    counts = [task.splits()[split].num_labelled for task in tasks]
    per_task = [
        task.objective.summarize(score / count)
        for task, score, count in zip(tasks, scores, counts, strict=True)
    ]
    one_metric = len({task.objective.metric for task in tasks}) == 1
    names = [task.name for task in tasks]
    return SplitMetrics(
        error_mean=sum(per_task) / len(per_task) if one_metric else None,
        error_pooled=tasks[0].objective.summarize(sum(scores) / sum(counts))
        if one_metric
        else None,
        per_task=dict(zip(names, per_task, strict=True)),
        loss_per_task={
            name: loss / count for name, loss, count in zip(names, losses, counts, strict=True)
        },
    )


def _sum(parts: Sequence[Tensor]) -> float:
    """Sum in double precision, read from the device once."""
    return float(torch.cat(list(parts)).cpu().double().sum())


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every module, frozen ones too, has its own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


_MOST_TASKS = 6


def _most(backbones: Mapping[str, str]) -> list[tuple[str, str]]:
    """Tasks and their backbones; tasks with the same one together, where they are many."""
    if len(backbones) <= _MOST_TASKS:
        return list(backbones.items())
    tasks = Counter(backbones.values())
    return [(f"{count} tasks", name) for name, count in tasks.items()]


def split_text(split: SplitMetrics, metrics: Mapping[str, str]) -> str:
    """A split's figures in a few words: the mean, or where metrics differ the tasks one by one."""
    if split.error_mean is not None:
        return f"{split.error_mean:.2f}"
    shown = [f"{task} {value:.2f} {metrics[task]}" for task, value in split.per_task.items()]
    rest = [f"{len(shown) - _MOST_TASKS} more"] if len(shown) > _MOST_TASKS else []
    return "; ".join([*shown[:_MOST_TASKS], *rest])
