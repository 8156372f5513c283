"""Optimisers of strategies read gradients and moments that lie in memory as their weights do."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch


class FusedAdam(torch.optim.Adam):
    """This older name of ``torch.optim.Adam(..., fused=True)``, which is right now, warns.

    Args:
        params: parameters as ``torch.optim.Adam`` takes them, all on one device.
        lr: learning rate, at least 0.
        options: all other options of ``torch.optim.Adam``.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, **options: Any) -> None:
        warnings.warn(
            "FusedAdam is torch.optim.Adam(..., fused=True), use that",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(params, lr, **{"fused": True, **options})


def keep_formats(strategy: object) -> None:
    """Let gradients and loaded moments of a strategy's optimisers take the format of their weights.

    Fused kernels walk through the memory of weights, gradients and moments as each lies, and would
    pair the wrong numbers without a word. Networks keep one memory format once they are built, and
    autograd's gradients follow it; but moments come from a file in another one, and so may
    gradients that a strategy has put together by itself.

    Args:
        strategy: the strategy, whose attributes are optimisers, or hold them in lists, tuples and
            dicts.
    """
    for optimizer in _optimizers(vars(strategy)):
        optimizer.register_load_state_dict_post_hook(match_formats)
        optimizer.register_step_pre_hook(match_gradients)


@torch.no_grad()
def match_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Give all gradients of an optimiser the memory format of their weights."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            gradient = parameter.grad
            if (
                gradient is not None
                and gradient.layout == torch.strided
                and not _lie_alike(gradient, parameter)
            ):
                parameter.grad = torch.empty_like(parameter).copy_(gradient)


@torch.no_grad()
def match_formats(optimizer: torch.optim.Optimizer) -> None:
    """Give all moments of an optimiser the memory format of their weights."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if (
                isinstance(value, torch.Tensor)
                and value.shape == parameter.shape
                and not _lie_alike(value, parameter)
            ):
                alike = torch.empty_like(parameter, dtype=value.dtype, device=value.device)
                state[name] = alike.copy_(value)


def _lie_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Say whether entries of two tensors of one shape are in the same order in memory."""
    if one.stride() == other.stride():
        return True
    # an axis of length 1 may have any stride: 32 x 1 x 3 x 3 has 9, 9, 3, 1 or 9, 1, 3, 1
    axes = zip(one.shape, one.stride(), other.stride(), strict=True)
    return all(size == 1 or ours == theirs for size, ours, theirs in axes)


def _optimizers(value: object) -> Iterator[torch.optim.Optimizer]:
    todo, seen = [value], set[int]()  # a container may hold itself
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.optim.Optimizer):
            yield value
        elif isinstance(value, Mapping):
            todo += value.values()
        elif isinstance(value, (list, tuple)):
            todo += value
