"""Tasks' rows of a parameter stay in a step without a gradient, as whole parameters do.

Some parameters hold a row a task, such as the shares in which a task mixes layers. Where a task has
no label in a step, autograd gives its row a gradient of zeros, as the others have theirs. Adam
would move it all the same, by what it remembers, and shrink what it divides by.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor, nn


class _Still(NamedTuple):
    """One parameter, which of its rows stay, and what it held before the step."""

    parameter: nn.Parameter
    rows: Bool[Tensor, "rows *ones"]
    values: Tensor
    moments: dict[str, Tensor]


class StillRows:
    """This puts rows whose gradient is all zero back, with their moments, once a step is done.

    The number of steps that an optimiser counts is that of the whole parameter.

    Args:
        parts: parameters, and into how many equal parts, along the first axis, each is cut. An
            example: of (6, 6) in 3 parts the rows 2 and 3 are the second one.
    """

    def __init__(self, parts: Mapping[nn.Parameter, int]) -> None:
        self.parts = dict(parts)
        self._still: list[_Still] = []

    def remember(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep what the rows without a gradient hold, before the optimiser's step.

        Where the CPU cannot know which they are without waiting for a GPU, all are kept.
        """
        for parameter, parts in self.parts.items():
            if parameter.grad is None:
                continue
            rows = _without_gradient(parameter, parts)
            if parameter.device.type != "cpu" or bool(rows.any()):
                values, moments = parameter.detach().clone(), _moments(optimizer, parameter)
                self._still.append(_Still(parameter, rows, values, moments))

    def put_back(self, optimizer: torch.optim.Optimizer) -> None:
        """Give these rows what they held, after the optimiser's step and its hooks."""
        for parameter, rows, values, moments in self._still:
            parameter.copy_(torch.where(rows, values, parameter))
            for name, now in _moments(optimizer, parameter, copy=False).items():
                if name in moments:
                    now.copy_(torch.where(rows, moments[name], now))
                elif name == "momentum_buffer":  # SGD begins it with weight decay in it
                    now.masked_fill_(rows, 0.0)
        self._still = []


def _without_gradient(parameter: nn.Parameter, parts: int) -> Bool[Tensor, "rows *ones"]:
    assert parameter.grad is not None
    still = (parameter.grad.reshape(parts, -1) == 0).all(1)
    rows = still.repeat_interleave(len(parameter) // parts)
    return rows.view(-1, *[1] * (parameter.ndim - 1))


def _moments(
    optimizer: torch.optim.Optimizer, parameter: nn.Parameter, copy: bool = True
) -> dict[str, Tensor]:
    state = optimizer.state.get(parameter, {})
    found = {
        name: value
        for name, value in state.items()
        if isinstance(value, Tensor) and value.shape == parameter.shape
    }
    return {name: value.clone() for name, value in found.items()} if copy else found
