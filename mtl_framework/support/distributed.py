"""Training in several processes (torchrun): every rank draws the same assignments.

Not DistributedDataParallel: weights that no path uses have no gradient, and which those are
changes from step to step. Ranks see different examples, and average what they learn from them.
"""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def all_reduce_mean(values: Tensor) -> Tensor:
    """Mean over the processes; ``values`` itself where there is only one."""
    if not is_distributed():
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / dist.get_world_size()


def all_reduce_gradients(before: Mapping[nn.Parameter, Tensor | None]) -> None:
    """Average this step's gradients over the processes, and add those held before.

    All ranks draw the same assignments, so the same parameters have gradients on each of them.
    """
    used = [parameter for parameter in before if parameter.grad is not None]
    if used:
        gradients = [p.grad for p in used if p.grad is not None]
        flat = all_reduce_mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(
            gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))
    for parameter, held in before.items():
        if held is not None:
            if parameter.grad is not None:
                held = held + parameter.grad
            parameter.grad = held
