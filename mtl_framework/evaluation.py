"""Measuring the networks as they stand: metric and loss of every task, on every split."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .data.batches import evaluation_batches
from .model import MultiTaskModel
from .seeding import untouched_generators
from .tasks import Suite, Task


@dataclass(frozen=True)
class SplitMetrics:
    """What the networks do on one split.

    Args:
        error_mean: mean of the tasks' metrics.
        error_pooled: the metric over all examples of all tasks together, which is what the
            published code of learned weight sharing reports; ``None`` where metrics differ.
        per_task: the metric of each task, in its own unit, by task name.
        loss_per_task: mean loss of each task, by task name.
    """

    error_mean: float
    error_pooled: float | None
    per_task: dict[str, float]
    loss_per_task: dict[str, float]


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
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Evaluation:
    """Evaluate on validation and test examples; the training examples are never read.

    Runs in evaluation mode and without gradients. Leaves the mode of every module, and all global
    random generators, as they were.

    Args:
        network: on ``device``.
        suite: tasks in the order of the network's.
        iteration: recorded with the figures.
        device: where the network is.
        batch_size: rows of a forward pass.
        mean: of each channel of the inputs in [0, 1], to be subtracted; with ``std``.
        std: to divide by.
    """
    splits = ["test"]
    if all(task.validation is not None for task in suite.tasks):
        splits.insert(0, "validation")
    with torch.no_grad(), untouched_generators(device), _evaluation_mode(network):
        measured = {}
        for split in splits:
            scores, losses = [], []
            for number, task in enumerate(suite.tasks):
                batches = evaluation_batches(task.splits()[split], batch_size, device, mean, std)
                rows = []
                for inputs, targets in batches:
                    outputs = network.predict(number, inputs)
                    objective = task.objective
                    rows.append(
                        (objective.scores(outputs, targets), objective.losses(outputs, targets))
                    )
                scores.append(_sum([score for score, _ in rows]))
                losses.append(_sum([loss for _, loss in rows]))
            measured[split] = summarize(suite.tasks, split, scores, losses)
    return Evaluation(iteration, measured)


def summarize(
    tasks: Sequence[Task], split: str, scores: Sequence[float], losses: Sequence[float]
) -> SplitMetrics:
    """Metrics from every task's summed scores and summed losses over its examples of a split."""
    counts = [len(task.splits()[split]) for task in tasks]
    per_task = [
        task.objective.summarize(score / count)
        for task, score, count in zip(tasks, scores, counts, strict=True)
    ]
    one_metric = len({task.objective.metric for task in tasks}) == 1
    names = [task.name for task in tasks]
    return SplitMetrics(
        error_mean=sum(per_task) / len(per_task),
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
def _evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every module, frozen ones too, has its own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
