"""Batch norms take over the max-pooling behind them."""

from collections import Counter
from collections.abc import Iterable, Sequence

from torch import nn

from ..norms import RoutedBatchNorm
from .pooled_norm import pooling_of


def take_over_poolings(model: nn.Module, called: Iterable[nn.Module]) -> None:
    """Let routed batch norms do the work of ReLU and max-pooling that follow them directly.

    Args:
        model: the model, whose layers may be tied; a norm with several places is left alone.
        called: parts of the model that are called as a whole. Only in those that are an
            ``nn.Sequential``, and in such parts of theirs, is the order of calls known.
    """
    places = Counter(child for parent in model.modules() for child in parent._modules.values())
    waiting = list(called)
    while waiting:
        sequence = waiting.pop()
        if not isinstance(sequence, nn.Sequential):
            continue
        if type(sequence).forward is not nn.Sequential.forward:
            continue
        layers = list(sequence)
        waiting += layers
        for position, layer in enumerate(layers):
            if not isinstance(layer, RoutedBatchNorm) or places[layer] > 1:
                continue
            pooling = pooling_of(layers[position + 1 :])
            if pooling is None or layer.pooling is not None or list(layer.children()):
                continue
            layer.pooling, length = pooling
            for place in range(position + 1, position + 1 + length):
                sequence[place] = nn.Identity()


def take_over_named(model: nn.Module, chains: Iterable[Sequence[str]]) -> None:
    """Let routed batch norms do the work of layers that are known to be called directly after them.

    Args:
        model: the model, whose norms are routed.
        chains: names of a norm, of ReLU where there is one, and of a max-pooling.
    """
    for norm, *rest in chains:
        layer = model.get_submodule(norm)
        pooling = pooling_of([model.get_submodule(name) for name in rest])
        if not isinstance(layer, RoutedBatchNorm) or pooling is None or layer.pooling is not None:
            continue
        layer.pooling = pooling[0]
        for name in rest:
            model.set_submodule(name, nn.Identity())
