"""Divergence of training is noticed without waiting for the device at every step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..networks.evaluation import Evaluation
from ..support.errors import MtlError

_MOST_PENDING = 256


class NotFiniteError(MtlError):
    """This error says that training has diverged: something is NaN or infinite."""


class LossWatch:
    """A watch collects losses, which stay on their device until :meth:`check` looks at them.

    Args:
        task_names: names of the tasks; the last dimension of a loss is over tasks if it has their
            number.
        deferred: whether losses are read only in :meth:`check`; False on a CPU, where reading
            costs nothing.
    """

    def __init__(self, task_names: Sequence[str], deferred: bool) -> None:
        self.task_names = tuple(task_names)
        self._most_pending = _MOST_PENDING if deferred else 1
        self._pending: list[tuple[int, Tensor]] = []

    def add(self, iteration: int, loss: Tensor) -> None:
        """Note the loss (any shape) of an iteration.

        Raises:
            NotFiniteError: as :meth:`check`.
        """
        self._pending.append((iteration, loss.detach().clone()))
        if len(self._pending) >= self._most_pending:
            self.check()

    def check(self) -> None:
        """Look at all losses noted since the last look.

        Raises:
            NotFiniteError: naming the first iteration, and task, whose loss is NaN or infinite.
        """
        pending, self._pending = self._pending, []
        if not pending or bool(torch.stack([loss.isfinite().all() for _, loss in pending]).all()):
            return
        iteration, loss = next((n, x) for n, x in pending if not bool(x.isfinite().all()))
        tasks = len(self.task_names)
        if loss.ndim and loss.shape[-1] == tasks:
            by_task = loss.reshape(-1, tasks)
            task = int((~by_task.isfinite()).any(0).nonzero()[0])
            bad, whose = by_task[:, task], f"the loss of task {self.task_names[task]!r}"
        else:
            bad, whose = loss.reshape(-1), "the loss"
        value = bad[~bad.isfinite()][0].item()
        raise NotFiniteError(f"{whose} is {value} at iteration {iteration}")


def check_parameters(network: nn.Module, iteration: int) -> None:
    """Raise an error on a parameter or buffer (running averages) that is not finite.

    Raises:
        NotFiniteError: naming the first such tensor and the iteration.
    """
    kinds = (("parameter", network.named_parameters()), ("buffer", network.named_buffers()))
    named = [
        (kind, name, tensor)
        for kind, tensors in kinds
        for name, tensor in tensors
        if tensor.is_floating_point()
    ]
    flags = [tensor.isfinite().all() for _, _, tensor in named]
    if flags and not bool(torch.stack(flags).all()):
        kind, name = next(
            (kind, name) for (kind, name, _), flag in zip(named, flags, strict=True) if not flag
        )
        raise NotFiniteError(f"{kind} {name} is not finite at iteration {iteration}")


def check_evaluation(evaluation: Evaluation) -> None:
    """Raise an error on metrics or losses of an evaluation that are not finite.

    Raises:
        NotFiniteError: naming split and task.
    """
    for split, metrics in evaluation.splits.items():
        for kind, figures in (("metric", metrics.per_task), ("loss", metrics.loss_per_task)):
            for task, value in figures.items():
                if not abs(value) < float("inf"):
                    raise NotFiniteError(
                        f"the {split} {kind} of task {task!r} is {value} "
                        f"at iteration {evaluation.iteration}"
                    )
