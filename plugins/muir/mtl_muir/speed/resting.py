"""Parameters' rows of tasks without a label in a batch are left alone by a step of Adam."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from mtl_framework import RecipeOptimizer

_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


@contextmanager
def resting(
    optimizer: RecipeOptimizer, rows: Mapping[nn.Parameter, Bool[Tensor, " rows"]]
) -> Iterator[None]:
    """Let steps taken inside change neither these rows nor their moments.

    Contexts, hypermodules and soft weights of all tasks lie in one tensor each, whose gradient
    exists as soon as one task has a label; Adam's momentum would move the others' rows, too.
    """
    with torch.no_grad():
        before = {p: p[mask].clone() for p, mask in rows.items()}
        states = {p: optimizer.state.get(p, {}) for p in rows}
        moments = {
            p: {name: state[name][rows[p]].clone() for name in _MOMENTS if name in state}
            for p, state in states.items()
        }
    yield
    with torch.no_grad():
        for parameter, mask in rows.items():
            parameter[mask] = before[parameter]
            state = optimizer.state.get(parameter, {})
            for name in _MOMENTS:
                if name in state:
                    known = moments[parameter].get(name)
                    state[name][mask] = 0 if known is None else known
