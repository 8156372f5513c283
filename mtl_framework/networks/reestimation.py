"""Running statistics are measured anew, from networks that stand still."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.batches import Batch
from ..routing.norms import RoutedBatchNorm
from ..support.errors import MtlError
from ..support.seeding import untouched_generators
from .model import MultiTaskModel
from .several import average_statistics


def reestimate_statistics(
    network: MultiTaskModel, batches: Iterable[Batch], device: torch.device
) -> None:
    """Replace the running statistics of batch norms by plain averages over ``batches``.

    While weights move, running averages mix the statistics of many past networks, and those of
    the tasks that used a weight last weigh most. Here every batch, and every task of a path,
    weighs the same, all under one state of the weights. Layers that no path uses now keep what
    they have. Dropout stays as in training. The mode of every module and the global random
    generators are as before afterwards.

    Source: averaging over batches after training is what stochastic weight averaging needs, too
    (Izmailov et al. 2018, section 3.1).

    Args:
        network: the networks, on ``device``, which predict as they should be evaluated.
        batches: training batches; at least one.
        device: the device of the network.
    """
    norms = [module for module in network.modules() if _keeps_statistics(module)]
    if not norms:
        return
    modes = [(module, module.training) for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    with ExitStack() as stack:
        stack.enter_context(untouched_generators(device))
        for module, training in modes:
            stack.callback(setattr, module, "training", training)
        for norm, momentum in zip(norms, momenta, strict=True):
            stack.callback(setattr, norm, "momentum", momentum)
            norm.momentum = None  # torch's sign for a plain average over all visits
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked.zero_()
        network.train()
        for batch in batches:
            network.update_statistics(batch)
        average_statistics(network)


@contextmanager
def reestimated(
    network: MultiTaskModel, batches: Iterable[Batch], device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Measure the running statistics anew inside; afterwards they are those of training again.

    So how often a run is evaluated changes nothing of its training.

    Args:
        network: the networks, as :func:`reestimate_statistics` takes them.
        batches: training batches.
        device: the device of the network.

    Yields:
        Copies of what was measured, by name of the buffer.
    """
    former = _statistics(network)
    try:
        reestimate_statistics(network, batches, device)
        yield _statistics(network)
    finally:
        set_statistics(network, former)


@torch.no_grad()
def set_statistics(network: nn.Module, statistics: Mapping[str, Tensor]) -> None:
    """Put running statistics in place.

    Args:
        network: the network that they belong to.
        statistics: tensors by name of the buffer, as :func:`reestimated` yields them.

    Raises:
        MtlError: if the network does not have such a buffer; nothing has changed then.
    """
    buffers = dict(network.named_buffers(remove_duplicate=False))
    for name, values in statistics.items():
        mine = buffers.get(name)
        if mine is None or mine.shape != values.shape or mine.dtype != values.dtype:
            raise MtlError(f"the network has no running statistics {name} of this shape and dtype")
    for name, values in statistics.items():
        buffers[name].copy_(values)


def _statistics(network: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.{key}" if name else key: buffer.clone()
        for name, module in network.named_modules(remove_duplicate=False)
        if _keeps_statistics(module)
        for key, buffer in module.named_buffers(recurse=False)
    }


def _keeps_statistics(module: nn.Module) -> TypeGuard[RoutedBatchNorm | _BatchNorm]:
    return isinstance(module, RoutedBatchNorm | _BatchNorm) and module.running_mean is not None
