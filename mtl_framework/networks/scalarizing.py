"""TorchJD's scalarizers make one loss of several tasks' losses, with or without a state."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..support.errors import MtlError


class LossCombination:
    """It computes how much each task's loss counts: a scalarizer's derivative by each loss.

    A task without a label in a step has no loss; the scalarizer is given the last one that it had,
    so that the other tasks' weights do not jump. Weights that a scalarizer learns are moved by an
    Adam of their own.

    Args:
        method: turns losses (tasks,) into one loss; a module where it has parameters.
        tasks: number of tasks.
        learning_rate: learning rate of the scalarizer's own parameters.
        epoch: number of steps after which a scalarizer that works by epochs is told that one is
            over.
    """

    def __init__(
        self, method: Callable[[Tensor], Tensor], tasks: int, learning_rate: float, epoch: int
    ) -> None:
        self._method, self._epoch = method, epoch
        self.last = torch.ones(tasks)
        self.steps = 0
        own = list(method.parameters()) if isinstance(method, nn.Module) else []
        self._own: list[nn.Parameter] = own
        self._optimizer = torch.optim.Adam(own, learning_rate) if own else None

    def factors(
        self, losses: Float[Tensor, " tasks"], present: Bool[Tensor, " tasks"]
    ) -> Float[Tensor, " tasks"]:
        """Return the derivative of the combined loss by each task's, and count the step.

        Args:
            losses: the loss of every task.
            present: for each task whether it has a label in this step.
        """
        self._move(losses.device)
        self.last = torch.where(present, losses.detach(), self.last.to(losses))
        leaves = self.last.clone().requires_grad_()
        with torch.enable_grad():
            found = torch.autograd.grad(self._method(leaves), [leaves, *self._own])
        if self._optimizer is not None:
            for parameter, gradient in zip(self._own, found[1:], strict=True):
                parameter.grad = torch.where(present, gradient, 0)
            self._optimizer.step()
        self.steps += 1
        advance = getattr(self._method, "step", None)
        if advance is not None and self.steps % self._epoch == 0:
            advance()
        return found[0]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        state: dict[str, Any] = {"last": self.last.clone(), "steps": self.steps}
        if self._optimizer is not None:
            state["own"] = [parameter.detach().clone() for parameter in self._own]
            state["optimizer"] = self._optimizer.state_dict()
        history = _history(self._method)
        if history:
            state["history"] = {name: getattr(self._method, name) for name in history}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises:
            MtlError: if it is the state of another method.
        """
        history = _history(self._method)
        if ("own" in state) != bool(self._own) or set(state.get("history", {})) != set(history):
            raise MtlError("the saved state is that of another training.weighting")
        self.last, self.steps = state["last"].clone(), int(state["steps"])
        for parameter, saved in zip(self._own, state.get("own", ()), strict=True):
            parameter.data.copy_(saved)
        if self._optimizer is not None:
            self._optimizer.load_state_dict(state["optimizer"])
        for name, value in state.get("history", {}).items():
            setattr(self._method, name, list(value) if isinstance(value, list | tuple) else value)

    def _move(self, device: torch.device) -> None:
        if isinstance(self._method, nn.Module):
            for parameter in self._own:
                if parameter.device != device:
                    parameter.data = parameter.data.to(device)


def _history(method: object) -> list[str]:
    """Return the attributes in which a scalarizer without parameters remembers earlier losses."""
    names = ("_loss_sum", "_n_batches", "_previous_averages")
    return [name for name in names if hasattr(method, name)]
