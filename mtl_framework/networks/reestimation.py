"""Running statistics measured anew, from networks that stand still."""

from collections.abc import Iterable
from contextlib import ExitStack

import torch
from torch import nn

from ..data.batches import Batch
from ..routing.norms import RoutedBatchNorm
from ..support.seeding import untouched_generators
from .model import MultiTaskModel


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
        network: on ``device``, predicting as it should be evaluated.
        batches: training batches; at least one.
        device: where the network is.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, (RoutedBatchNorm, nn.modules.batchnorm._BatchNorm))
        and module.running_mean is not None
    ]
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
