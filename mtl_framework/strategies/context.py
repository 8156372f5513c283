"""These protocols are what a strategy and an observer see of a run, whatever a run is made of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from ..backbones.backbone import Backbone, PlainBackbone
from ..data.batches import BalancedBatches, Batch
from ..data.tasks import Suite
from ..networks.candidates import CandidateMetrics, Candidates
from ..networks.evaluation import Evaluation
from ..networks.model import MultiTaskModel
from ..networks.result import History, Result
from .step import Step


@runtime_checkable
class TrainingRun(Protocol):
    """This is a run that is training: :meth:`Strategy.optimize` and observing hooks are given it.

    It has more than a dozen public names because most are values that they may read, one each.
    """

    @property
    def suite(self) -> Suite:
        """Return the suite whose tasks are trained."""

    @property
    def backbones(self) -> Sequence[PlainBackbone]:
        """Return the backbone of every task; one object where tasks have it in common."""

    @property
    def network(self) -> MultiTaskModel:
        """Return the strategy's networks."""

    @property
    def directory(self) -> Path:
        """Return the run's folder."""

    @property
    def device(self) -> torch.device:
        """Return the device of the networks, to which batches are brought."""

    @property
    def strategy_name(self) -> str:
        """Return the name of the strategy in the configuration."""

    @property
    def iteration(self) -> int:
        """Return the number of steps that are done, 0 to ``iterations``."""

    @property
    def iterations(self) -> int:
        """Return the number of steps that the run will do in all."""

    @property
    def batch_size(self) -> int:
        """Training examples a task in every batch, where the task does not set its own."""

    @property
    def eval_every(self) -> int:
        """Iterations between evaluations; the last iteration is always evaluated."""

    @property
    def log_every(self) -> int:
        """Iterations between lines of ``metrics.jsonl``."""

    @property
    def seconds(self) -> float:
        """Return the wall time of the run so far in seconds, without pauses after interruptions."""

    @property
    def last_evaluation(self) -> Evaluation | None:
        """Return the newest evaluation; ``None`` before the first."""

    def next_batch(self, source: BalancedBatches | None = None) -> Batch:
        """Return the next training examples of every task, on the device, inputs as floats.

        Args:
            source: batches that :meth:`split_batches` returned; default: all training examples.
        """

    def split_batches(self, share: float) -> tuple[BalancedBatches, BalancedBatches]:
        """Return batches of all training examples but a share, and batches of that share.

        Every call in a run returns the same parts, from their beginning; their ``state_dict`` is
        the strategy's to keep.

        Args:
            share: share of every task's training examples that is the second part, stratified by
                target.

        Raises:
            MtlError: if a task has too few examples, or reads streams.
        """

    def losses(self, step: Step) -> tuple[float | None, dict[str, float | None]]:
        """Return the mean loss of a step, and each task's where the strategy tells them apart."""

    def validate(self, candidates: Candidates) -> tuple[CandidateMetrics, ...]:
        """Measure several candidates of every task on its validation examples.

        Raises:
            MtlError: if a task has no validation examples.
        """

    def hint(self, text: str) -> None:
        """Tell the user something that helps, in one line that names what to set."""

    def stop(self, reason: str) -> None:
        """End the run well after the step that is being done; the result holds the reason."""


@runtime_checkable
class TrainedRun(Protocol):
    """This is a run as a checkpoint has it: what :meth:`Strategy.warm_start` can load."""

    @property
    def directory(self) -> Path:
        """Return the run's folder."""

    @property
    def suite(self) -> Suite:
        """Return the suite whose tasks are trained."""

    @property
    def backbone(self) -> Backbone:
        """Return the backbone that all tasks have in common.

        Raises:
            MtlError: if tasks have their own.
        """

    @property
    def network(self) -> MultiTaskModel:
        """Return the networks of all tasks."""

    def extract(self, task: int | str) -> nn.Module:
        """Return one task's network, on the CPU, in evaluation mode.

        Raises:
            MtlError: if there is no such task.
        """


@runtime_checkable
class FinishedRun(Protocol):
    """This is a run of a report, read from its folder: the hook ``mtl_figures`` is given it."""

    @property
    def strategy(self) -> str:
        """Return the label of the run's setting in the comparison or report."""

    @property
    def suite(self) -> str:
        """Return the label of the suite in the comparison or report."""

    @property
    def backbone(self) -> str:
        """Return the label of the backbone in the comparison or report."""

    @property
    def seed(self) -> int:
        """Return the run's seed."""

    @property
    def directory(self) -> Path:
        """Return the run's folder."""

    @property
    def result(self) -> Result | None:
        """Return the result of the run; ``None`` where it has not ended well."""

    @property
    def history(self) -> History:
        """Records that the run wrote while it trained; empty where there are none."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the run's complete config, as plain values.

        Raises:
            MtlError: if it cannot be read.
        """

    def checkpoint(self) -> Mapping[str, Any]:
        """Return the strategy's saved state after the last step.

        Raises:
            MtlError: if there is no checkpoint, or it is damaged.
        """
