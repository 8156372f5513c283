"""Tasks' rows of a parameter stay in a step without a gradient, as whole parameters do.

Some parameters hold a row a task, such as the shares in which a task mixes layers. Where a task has
no label in a step, autograd gives its row a gradient of zeros, as the others have theirs. Adam
would move it all the same, by what it remembers, and shrink what it divides by.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor, nn

# moments that begin at zero; a first step may have put weight decay into those of rows that rest
_FROM_ZERO = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")


@runtime_checkable
class HasState(Protocol):
    """This is an optimiser of torch's, or one with a recipe."""

    @property
    def state(self) -> Mapping[Any, Any]:
        """State of the optimiser for every parameter, as in torch."""


@contextmanager
def resting(
    optimizer: HasState,
    rows: Mapping[nn.Parameter, Bool[Tensor, " rows"]],
) -> Iterator[None]:
    """Let steps taken inside change neither these rows nor their moments.

    The number of steps that an optimiser counts is that of the whole parameter.

    Args:
        optimizer: the optimiser that takes the steps.
        rows: by parameter, which of its rows, along the first axis, rest.
    """
    before = [
        (
            parameter,
            mask.view(-1, *[1] * (parameter.ndim - 1)),
            parameter.detach().clone(),
            {name: moment.clone() for name, moment in _moments(optimizer, parameter).items()},
        )
        for parameter, mask in rows.items()
    ]
    yield
    with torch.no_grad():
        for parameter, mask, values, moments in before:
            # without a copy of single rows, for which a GPU would be waited for
            parameter.copy_(torch.where(mask, values, parameter))
            for name, moment in _moments(optimizer, parameter).items():
                if name in moments:
                    moment.copy_(torch.where(mask, moments[name], moment))
                elif name in _FROM_ZERO:
                    moment.masked_fill_(mask, 0.0)


def without_gradient(
    parts: Mapping[nn.Parameter, int],
) -> dict[nn.Parameter, Bool[Tensor, " rows"]]:
    """Return the rows of parts whose gradient is all zero.

    On a GPU, where the CPU cannot know without waiting whether there are any, all parameters with a
    gradient are returned; on the CPU those that have such rows.

    Args:
        parts: parameters, and into how many equal parts, along the first axis, each is cut. An
            example: of (6, 6) in 3 parts the rows 2 and 3 are the second one.
    """
    found = {}
    for parameter, count in parts.items():
        if parameter.grad is None:
            continue
        still = (parameter.grad.reshape(count, -1) == 0).all(1)
        if parameter.device.type != "cpu" or bool(still.any()):
            found[parameter] = still.repeat_interleave(len(parameter) // count)
    return found


def _moments(optimizer: HasState, parameter: nn.Parameter) -> dict[str, Tensor]:
    """Return what the optimiser keeps for every number of a parameter, by name."""
    return {
        name: value
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor) and value.shape == parameter.shape
    }
