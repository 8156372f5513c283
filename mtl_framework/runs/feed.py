"""A feed has the data that a run reads: training batches, and examples to evaluate on."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, cast

import torch
from torch import Tensor

from ..backbones.backbone import PlainBackbone
from ..data.batches import BalancedBatches, Batch
from ..data.placement import place_inputs, usable_workers
from ..data.samplers import Part
from ..data.tasks import Suite
from ..networks.assignment import Assignment
from ..networks.candidates import CandidateMetrics, Candidates, validate
from ..networks.evaluation import Evaluation, evaluate
from ..networks.map_samples import MapSamples, map_samples
from ..networks.model import MultiTaskModel
from ..plugins.guard import Guard
from ..strategies.step import Step
from ..support.distributed import from_first, is_first, process_count, process_number
from ..support.seeding import derive_seed
from .assembly import normalizations
from .config import RunConfig
from .found_sharing import assignment_of


class Feed:
    """A feed gives batches of a run's suite on its device, and measures on held-out examples.

    Args:
        suite: the tasks.
        backbones: one for each task; they say how images are normalised where the suite does not.
        config: configuration of the run.
        device: the device on which batches are made.
        guard: calls the code of the strategy's networks while they are evaluated.
    """

    def __init__(
        self,
        suite: Suite,
        backbones: tuple[PlainBackbone, ...],
        config: RunConfig,
        device: torch.device,
        guard: Guard,
    ) -> None:
        self._guard, self._strategy = guard, config.strategy.name
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
            Part(process_number(), process_count()),
        )
        self._seed_of_parts = derive_seed(config.seed, "held out")
        self._masks: list[tuple[Tensor | None, ...]] = []  # of the batches of the newest step

    def next(self, source: BalancedBatches | None = None) -> Batch:
        """Return the next batch of all training examples, or of the part ``source``."""
        batch = (source or self._batches).next()
        if batch.labelled:
            self._masks.append(batch.labelled)
        return batch

    def split(self, share: float) -> tuple[BalancedBatches, BalancedBatches]:
        """Divide the training examples: batches of all but a share, and batches of that share.

        Raises:
            MtlError: if a task has too few examples, or reads streams.
        """
        return self._batches.split(share, self._seed_of_parts)

    def begin_step(self) -> None:
        """Forget which labels the batches of the previous step had."""
        self._masks.clear()

    def coming(self, count: int) -> Iterator[Batch]:
        """Yield the next training batches without advancing: training reads them again."""
        state = self._batches.state_dict()
        try:
            for _ in range(count):
                yield self._batches.next()
        finally:
            self._batches.load_state_dict(state)

    def losses(self, step: Step) -> tuple[float | None, dict[str, float | None]]:
        """Return the mean loss of a step, and each task's loss where the strategy reports it.

        A task without a label in the step, whose loss is therefore 0, gets ``None``, and the mean
        leaves it out. The call waits for the device.
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
        """Evaluate networks on the validation and test examples; see :func:`evaluate`.

        Of several processes the first one does it for all; only there ``details`` is filled.
        """
        if not is_first():
            return from_first(cast(Evaluation, None))
        with self._guard("predict"):
            evaluation = evaluate(
                network,
                self.suite,
                iteration,
                self.device,
                self._rows,
                self._normalizations,
                self._workers,
                details,
            )
        return from_first(evaluation)

    def assignment(self, network: MultiTaskModel) -> Assignment | None:
        """Return which weights tasks use now; see :func:`assignment_of`."""
        with self._guard("sharing"):
            return assignment_of(network, self._strategy)

    def map_samples(self, network: MultiTaskModel) -> dict[str, MapSamples]:
        """Return a few test images with true and predicted maps; see :func:`map_samples`.

        Of several processes only the first one gets any.
        """
        if not is_first():
            return {}
        with self._guard("predict"):
            return map_samples(network, self.suite, self.device, self._normalizations)

    def validate(
        self, network: MultiTaskModel, candidates: Candidates
    ) -> tuple[CandidateMetrics, ...]:
        """Measure several candidates of every task on validation examples; see :func:`validate`.

        Of several processes the first one does it for all.
        """
        if not is_first():
            return from_first(cast(tuple[CandidateMetrics, ...], ()))
        measured = validate(
            network,
            self.suite,
            candidates,
            self.device,
            self._rows,
            self._normalizations,
            self._workers,
        )
        return from_first(measured)

    def state_dict(self) -> dict[str, Any]:
        """Return where every task's order of training examples stands."""
        return self._batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from where :meth:`state_dict` was taken.

        Raises:
            MtlError: if the state belongs to other tasks.
        """
        self._batches.load_state_dict(state)

    def close(self) -> None:
        """End the worker processes."""
        self._batches.close()
