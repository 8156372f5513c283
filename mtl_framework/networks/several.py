"""Networks of several processes are alike: what their plain batch norms saw, and their weights."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..support.distributed import all_reduce_max, all_reduce_sum, is_distributed, process_count
from ..support.errors import MtlError

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.no_grad()
def average_statistics(network: nn.Module) -> None:
    """Average the running statistics of plain batch norms over the processes.

    Routed ones do so at every step. A running average is a sum over the steps, so that its mean now
    is what means of every step would have given.

    Args:
        network: the networks; with one process nothing is done.

    Raises:
        ProcessLostError: if another process has ended.
    """
    if not is_distributed():
        return
    buffers = [
        buffer
        for module in network.modules()
        if isinstance(module, _BatchNorm)
        for buffer in (module.running_mean, module.running_var)
        if buffer is not None
    ]
    for dtype in dict.fromkeys(buffer.dtype for buffer in buffers):
        own = [buffer for buffer in buffers if buffer.dtype == dtype]
        total = all_reduce_sum(torch.cat([buffer.reshape(-1) for buffer in own]))
        means = torch.split(total / process_count(), [buffer.numel() for buffer in own])
        for buffer, mean in zip(own, means, strict=True):
            buffer.copy_(mean.view(buffer.shape))


@torch.no_grad()
def check_alike(network: nn.Module, iteration: int, strategy: str) -> None:
    """Raise an error where the processes' weights have come to differ, in a single bit.

    Args:
        network: the networks; with one process nothing is checked.
        iteration: number of steps done.
        strategy: name of the strategy, which has to average what its processes learn.

    Raises:
        MtlError: naming strategy and parameter.
        ProcessLostError: if another process has ended.
    """
    if not is_distributed():
        return
    named = dict(network.named_parameters())
    sums = torch.stack([_sum_of_bits(parameter) for parameter in named.values()])
    differ = all_reduce_max(sums) != -all_reduce_max(-sums)
    for name, different in zip(named, differ.tolist(), strict=True):
        if different:
            raise MtlError(
                f"strategy {strategy!r} has trained other networks in each of {process_count()} "
                f"processes: {name} differs after iteration {iteration}; it should average its "
                "gradients (averaged_gradients), and draw and decide alike in all of them"
            )


def _sum_of_bits(parameter: Tensor) -> Tensor:
    """Return the sum of a tensor's bit patterns, taken as integers."""
    plain = torch.view_as_real(parameter) if parameter.is_complex() else parameter
    return plain.detach().contiguous().view(_INTEGERS[plain.element_size()]).sum(dtype=torch.int64)
