"""By a prior, tasks start leaning towards one weight, towards own ones, or towards groups.

While the search distribution is uniform, each weight is trained by every task and by chance, and
learns slowly. A start that leans towards one weight learns nearly as fast as full sharing, merges
more rows, and still moves apart where the losses ask for it. One that leans towards a weight a task
learns nearly as fast as no sharing, and moves together where another task's weight serves as well
(both are our own). What measures groups lies in ``conflict.py`` and ``affinity.py``.
"""

from collections.abc import Callable

import torch
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import SearchDistribution, TaskNetworks
from mtl_framework.data import Batch

from ..config import LwsConfig
from . import affinity, conflict

_MEASURED = {"conflict": conflict.groups_by_conflict, "affinity": affinity.groups_by_affinity}


def lean_towards_prior(
    distribution: SearchDistribution,
    network: TaskNetworks,
    config: LwsConfig,
    next_batch: Callable[[], Batch],
) -> None:
    """Move the distribution by ``prior_strength`` of the way to what ``prior`` says.

    An example of ``prior: own``: of two weights, three tasks lean towards 0, 1 and 0.

    Args:
        distribution: the search distribution before the first step, which is changed.
        network: the networks of all tasks, which are left as they are.
        config: options, of which it reads those of the prior.
        next_batch: draws a batch of training examples.
    """
    units, tasks, weights = distribution.pi.shape
    if config.prior in _MEASURED:
        groups = _MEASURED[config.prior](
            network, next_batch, config.prior_iterations, config.learning_rate, weights
        )
    else:
        first = torch.zeros(tasks, dtype=torch.int64)
        alike = torch.arange(tasks) % weights if config.prior == "own" else first
        groups = alike.repeat(units, 1)
    lean_towards(distribution, groups, config.prior_strength)


def lean_towards(
    distribution: SearchDistribution, groups: Int64[Tensor, "units tasks"], strength: float
) -> None:
    """Move the distribution by ``strength`` (0 to 1) of the way to a given assignment."""
    target = torch.nn.functional.one_hot(groups, distribution.pi.shape[-1]).double()
    pi = (1 - strength) * distribution.pi + strength * target
    distribution.load_state_dict({"pi": pi})
