"""Several candidates of every task are measured on validation examples, to choose among them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..backbones.recurrent import fresh_state
from ..data.batches import evaluation_batches
from ..data.images import RAW, ImageNormalization
from ..data.tasks import Suite, Task
from ..support.errors import MtlError
from ..support.seeding import untouched_generators
from .evaluation import evaluation_mode
from .measuring import TaskMeasure
from .model import MultiTaskModel

Candidates = Callable[[int, Tensor], Float[Tensor, "candidates rows *outputs"]]


@dataclass(frozen=True)
class CandidateMetrics:
    """These are the figures that validation gives the candidates of one task.

    Args:
        errors: the task's main metric for each candidate; where a metric is better when larger, its
            distance from the ideal value, so that lower is better.
        losses: mean loss of each candidate.
    """

    errors: Float64[Tensor, " candidates"]
    losses: Float64[Tensor, " candidates"]


def validate(
    network: MultiTaskModel,
    suite: Suite,
    candidates: Candidates,
    device: torch.device,
    batch_size: int,
    normalizations: Sequence[ImageNormalization] = (),
    workers: int = 0,
) -> tuple[CandidateMetrics, ...]:
    """Measure candidates on validation examples; no others are read.

    Everything else is as in :func:`~mtl_framework.networks.evaluation.evaluate`: evaluation mode,
    no gradients, labelled examples only, and nothing of the networks has changed afterwards.

    Args:
        network: the networks, on ``device``, which ``candidates`` calls.
        suite: the suite, its tasks in the order of the network's.
        candidates: returns, for a task and its prepared inputs, the outputs of all candidates.
        device: the device of the network.
        batch_size: rows of a pass, unless the examples are streams.
        normalizations: see :func:`~mtl_framework.networks.evaluation.evaluate`.
        workers: number of processes that read images from files.

    Returns:
        for each task the figures of its candidates.

    Raises:
        MtlError: if a task has no validation examples.
    """
    found = []
    with torch.no_grad(), untouched_generators(device), evaluation_mode(network):
        for number, task in enumerate(suite.tasks):
            if task.validation is None:
                raise MtlError(
                    f"task {task.name!r} of suite {suite.name!r} has no validation examples to "
                    "choose by"
                )
            normalization = normalizations[number] if normalizations else RAW
            batches = evaluation_batches(
                task.validation, batch_size, device, normalization, workers
            )
            if task.main_metric is None:
                found.append(_by_scores(network, task, number, candidates, batches))
                continue
            found.append(_by_metric(network, task, number, candidates, batches))
    return tuple(found)


def _by_metric(
    network: MultiTaskModel,
    task: Task,
    number: int,
    candidates: Candidates,
    batches: Iterator[tuple[Tensor, Tensor]],
) -> CandidateMetrics:
    """Return figures by the task's main metric, over all rows together; lower is better."""
    measures: list[TaskMeasure] = []
    with fresh_state(network):
        for inputs, targets in batches:
            outputs = candidates(number, inputs)
            measures = measures or [
                TaskMeasure(task, "validation", main_only=True) for _ in outputs
            ]
            for measure, each in zip(measures, outputs, strict=True):
                measure.update(each, targets)
    results = [measure.result() for measure in measures]
    errors = [m.main if m.ideal is None else m.ideal - m.main for m in results]
    return CandidateMetrics(
        torch.tensor(errors).double(), torch.tensor([m.loss for m in results]).double()
    )


def _by_scores(
    network: MultiTaskModel,
    task: Task,
    number: int,
    candidates: Candidates,
    batches: Iterator[tuple[Tensor, Tensor]],
) -> CandidateMetrics:
    """Return figures by the objective's own scores, of which only a mean over rows is needed."""
    objective = task.objective
    scores, losses = [], []
    with fresh_state(network):
        for inputs, targets in batches:
            outputs = candidates(number, inputs)
            scores.append(torch.stack([objective.scores(y, targets) for y in outputs], 1))
            losses.append(torch.stack([objective.losses(y, targets) for y in outputs], 1))
    errors = torch.cat(scores).cpu().double().mean(0).tolist()
    return CandidateMetrics(
        torch.tensor([objective.summarize(error) for error in errors]).double(),
        torch.cat(losses).cpu().double().mean(0),
    )
