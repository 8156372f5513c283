"""What a run reads: training batches, and the held-out examples that it is measured on."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

from ..backbones.backbone import PlainBackbone
from ..data.batches import BalancedBatches, Batch
from ..data.placement import place_inputs, usable_workers
from ..data.tasks import Suite
from ..networks.candidates import CandidateMetrics, Candidates, validate
from ..networks.evaluation import Evaluation, evaluate
from ..networks.map_samples import MapSamples, map_samples
from ..networks.model import MultiTaskModel
from ..plugins.guard import Guard
from ..strategies.step import Step
from ..support.seeding import derive_seed
from .assembly import normalizations
from .config import RunConfig


class Feed:
    """Batches of a run's suite on its device, and measurements on its held-out examples.

    Args:
        suite: the tasks.
        backbones: one a task; they say how images are normalized where the suite does not.
        config: of the run.
        device: where batches come to.
        guard: calls the code of the strategy's networks while they are measured.
    """

    def __init__(
        self,
        suite: Suite,
        backbones: tuple[PlainBackbone, ...],
        config: RunConfig,
        device: torch.device,
        guard: Guard,
    ) -> None:
        self._guard = guard
        self.suite = suite
        self.device = device
        self._rows = config.eval_batch_size
        self._normalizations = normalizations(suite, backbones)
        self._workers = usable_workers(config.data_workers)
        self._batches = BalancedBatches(
            suite,
            config.batch_size,
            derive_seed(config.seed, "batches"),
            device,
            self._normalizations,
            place_inputs(suite, config.keep_on_device, self._workers),
            self._workers,
        )
        self._seed_of_parts = derive_seed(config.seed, "held out")
        self._masks: list[tuple[Tensor | None, ...]] = []  # of the batches of the newest step

    def next(self, source: BalancedBatches | None = None) -> Batch:
        """The next training examples of every task, from one part of them or from all."""
        batch = (source or self._batches).next()
        if batch.labelled:
            self._masks.append(batch.labelled)
        return batch

    def split(self, share: float) -> tuple[BalancedBatches, BalancedBatches]:
        """Batches of all training examples but a share, and of that share, each from its start.

        Raises:
            MtlError: if a task has too few examples, or reads streams.
        """
        return self._batches.split(share, self._seed_of_parts)

    def begin_step(self) -> None:
        """Forget which labels the batches of the step before had."""
        self._masks.clear()

    def coming(self, count: int) -> Iterator[Batch]:
        """The next training batches, which training reads again."""
        state = self._batches.state_dict()
        try:
            for _ in range(count):
                yield self._batches.next()
        finally:
            self._batches.load_state_dict(state)

    def losses(self, step: Step) -> tuple[float | None, dict[str, float | None]]:
        """The mean loss of the newest step, and each task's where the strategy tells them apart.

        A task that a batch of the step had no label of, and whose loss is therefore 0, has none,
        and the mean leaves it out. Waits for the device.
        """
        loss, tasks = step.loss.detach().float().cpu(), self.suite.task_names
        if not loss.ndim or loss.shape[-1] != len(tasks):
            return float(loss.mean()), {}
        means = loss.reshape(-1, len(tasks)).mean(0).tolist()
        by_task: dict[str, float | None] = dict(zip(tasks, means, strict=True))
        if self._masks:
            for name, masks in zip(tasks, zip(*self._masks, strict=True), strict=True):
                # a step may draw several batches; which of them the loss is of is not known here
                if by_task[name] == 0 and any(m is not None and not bool(m.any()) for m in masks):
                    by_task[name] = None
        counted = [value for value in by_task.values() if value is not None]
        return (sum(counted) / len(counted) if counted else None), by_task

    def evaluate(
        self,
        network: MultiTaskModel,
        iteration: int,
        details: MutableMapping[str, Any] | None = None,
    ) -> Evaluation:
        """Metrics of networks on the validation and test examples; see :func:`evaluate`."""
        with self._guard("predict"):
            return evaluate(
                network,
                self.suite,
                iteration,
                self.device,
                self._rows,
                self._normalizations,
                self._workers,
                details,
            )

    def map_samples(self, network: MultiTaskModel) -> dict[str, MapSamples]:
        """A few test images with their true and predicted maps; see :func:`map_samples`."""
        with self._guard("predict"):
            return map_samples(network, self.suite, self.device, self._normalizations)

    def validate(
        self, network: MultiTaskModel, candidates: Candidates
    ) -> tuple[CandidateMetrics, ...]:
        """Metrics of several candidates of every task; see :func:`validate`."""
        return validate(
            network,
            self.suite,
            candidates,
            self.device,
            self._rows,
            self._normalizations,
            self._workers,
        )

    def state_dict(self) -> dict[str, Any]:
        """The place in every task's order of training examples."""
        return self._batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a place that :meth:`state_dict` gave.

        Raises:
            MtlError: if it is one of other tasks.
        """
        self._batches.load_state_dict(state)

    def close(self) -> None:
        """End worker processes."""
        self._batches.close()
