"""Nash-MTL starts from its last solution, and so has a memory for every set of tasks."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..support.errors import MtlError


class Bargaining:
    """It aggregates gradients of tasks that meet in a weight as a bargain between these tasks.

    TorchJD's class is made for a fixed number of tasks and solves each step from the last one's
    solution. Weights that different tasks use are different bargains, so that each set of tasks
    has an object of its own, made when the set first meets.

    Args:
        make: a function that makes TorchJD's aggregator for a number of tasks.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make
        self._sets: dict[tuple[int, ...], Any] = {}

    def __call__(
        self, gradients: Float[Tensor, "tasks entries"], tasks: tuple[int, ...]
    ) -> Float[Tensor, " entries"]:
        """Make one gradient of those of the tasks, whose numbers are given in order."""
        if tasks not in self._sets:
            self._sets[tasks] = self._make(len(tasks))
        combined: Tensor = _quietly(self._sets[tasks], gradients)
        return combined

    def state_dict(self) -> dict[str, Any]:
        """Return the last solution of every set of tasks, and how often it was asked for."""
        return {
            " ".join(map(str, tasks)): {
                "step": int(method.weighting.step),
                "solution": torch.as_tensor(method.weighting.prvs_alpha).clone(),
            }
            for tasks, method in self._sets.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises:
            MtlError: if it is the state of another method.
        """
        sets: dict[tuple[int, ...], Any] = {}
        for key, saved in state.items():
            if not isinstance(saved, Mapping) or set(saved) != {"step", "solution"}:
                raise MtlError("the saved state is that of another training.weighting")
            tasks = tuple(int(number) for number in key.split())
            method = sets[tasks] = self._make(len(tasks))
            _quietly(method, torch.eye(len(tasks)))  # builds the problem, which is no state
            method.weighting.step = saved["step"]
            method.weighting.prvs_alpha = saved["solution"].numpy().copy()
        self._sets = sets


def _quietly(method: Callable[[Tensor], Tensor], gradients: Tensor) -> Tensor:
    """Silence, inside, cvxpy's advice on how TorchJD should have written its problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method(gradients)
