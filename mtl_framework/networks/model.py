"""The base class of all networks says what the host needs from a strategy's networks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from ..data.batches import Batch
from ..data.tasks import Task
from ..support.distributed import all_reduce_mean, averaged_gradients, is_distributed
from .features import Features


@dataclass(frozen=True)
class Sharing:
    """Sharing says which tasks use which weights.

    ``weights[u, t]`` numbers the weight of unit ``units[u]`` that task ``tasks[t]`` uses: tasks
    with equal numbers in a row share that unit.
    """

    units: tuple[str, ...]
    tasks: tuple[str, ...]
    weights: Int[Tensor, "units tasks"]


@dataclass(frozen=True)
class ParameterCounts:
    """These counts say how many parameters training moves, and how many the final networks need."""

    trained: int
    deployed: int


class MultiTaskModel(nn.Module, ABC):
    """This holds networks for several tasks, trained together.

    The host sets ``precision`` (``"fp32"`` or ``"bf16"``), ``memory_budget`` (MiB for the
    activations of one pass, ``None``: no limit) and ``batched_weights`` (whether the weights of a
    unit run in one call) after the strategy has built the model.
    """

    precision: str = "fp32"
    memory_budget: int | None = None
    batched_weights: bool = False

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)

    @abstractmethod
    def predict(
        self, task: int, inputs: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, "rows *outputs"]:
        """Return the outputs of one task's network as it stands, in the model's present mode."""

    def predict_all(
        self, inputs: Shaped[Tensor, "rows *dims"]
    ) -> list[Float[Tensor, "rows *outputs"]]:
        """Return outputs of every task's network for inputs that all tasks read.

        Networks that share their work for common inputs override this.
        """
        return [self.predict(task, inputs) for task in range(len(self.tasks))]

    @abstractmethod
    def extract(self, task: int) -> nn.Module:
        """Return one task's network, independent of this object, on the CPU, in eval mode."""

    @abstractmethod
    def sharing(self) -> Sharing | None:
        """Say which tasks share which weights; ``None`` where no unit is shared as a whole."""

    @torch.no_grad()
    def update_statistics(self, batch: Batch) -> None:
        """Run a training batch through the networks as they predict, for running statistics.

        It is called in training mode, by :func:`reestimate_statistics`.
        """
        for task, inputs in enumerate(batch.inputs):
            self.predict(task, inputs)

    @abstractmethod
    def parameter_counts(self) -> ParameterCounts:
        """Count the parameters held in training and those needed afterwards."""

    def parts_of_tasks(self) -> Mapping[nn.Parameter, int]:
        """Return parameters with a part a task, and how many equal parts each has.

        Parts lie along the first axis: (tasks, layers) has a row a task. A part whose gradient is
        all zero in a step, because its task has no label there, stays where it is
        (``training.unused_weights``), as parameters without a gradient do. Networks with such
        parameters override this.
        """
        return {}

    def averaged_gradients(self) -> AbstractContextManager[None]:
        """Average over the processes the gradients that the block adds, where there are several.

        The mean of each parameter's gradient is over the processes that have one: labels of a task
        may be missing in some. Every process has to enter the block.
        """
        return averaged_gradients(self.parameters())

    def averaged_losses(
        self, batch: Batch, losses: Float[Tensor, "*samples tasks"]
    ) -> Float[Tensor, "*samples tasks"]:
        """Average losses over the processes, each task's over those that have labels of it."""
        return all_reduce_mean(losses, batch.label_weights()) if is_distributed() else losses

    def labelled_anywhere(self, batch: Batch) -> Bool[Tensor, " tasks"]:
        """Return, on the CPU, which tasks have a label in any process's batch."""
        weights = batch.label_weights()
        if is_distributed():
            weights = all_reduce_mean(weights.to(batch.inputs[0].device)).cpu()
        return weights > 0

    def autocast(self, device: torch.device) -> torch.autocast:
        """Run a forward pass inside in this model's precision."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def in_full_precision(
        self, module: Callable[..., Tensor], inputs: Features | Shaped[Tensor, "*inputs"]
    ) -> Float[Tensor, "*outputs"]:
        """Run a module in this model's precision; outputs are float32, or float64 if they are."""
        first = inputs if isinstance(inputs, Tensor) else inputs[0]
        with self.autocast(first.device):
            outputs: Tensor = module(inputs)
        return outputs if outputs.dtype == torch.float64 else outputs.float()
