"""Rewriting a model in place: banks where its units were, heads where its class layers were."""

from collections import Counter
from collections.abc import Iterable, Sequence

from torch import nn

from ..backbones.backbone import Backbone
from ..routing.banks import WeightBank
from ..routing.context import RoutingContext
from ..routing.heads import HeadBank, resized
from ..routing.norms import RoutedBatchNorm, route_norms
from ..routing.pooled_norm import pooling_of
from ..support.errors import MtlError


def rewrite(
    backbone: Backbone,
    weights_per_unit: Sequence[int],
    context: RoutingContext,
    num_tasks: int,
    checkpoint: bool,
) -> tuple[nn.Module, list[list[WeightBank]]]:
    """A fresh model with a bank in every place of every unit, and the banks by unit.

    Args:
        backbone: what is shared and where.
        weights_per_unit: K of every unit; copy k comes from the k-th freshly made model.
        context: the pass that its parts take part in.
        num_tasks: T.
        checkpoint: recompute the activations of units in the backward pass.

    Raises:
        MtlError: if a layer keeps running statistics of an unknown kind.
    """
    skeleton = backbone.create(2)
    copies: list[list[list[nn.Module]]] = [[[] for _ in places] for places in backbone.places]
    for k in range(max(weights_per_unit)):
        model = skeleton if k == 0 else backbone.create(2)
        for unit, places in enumerate(backbone.places):
            if k < weights_per_unit[unit]:
                for position, place in enumerate(places):
                    copies[unit][position].append(model.get_submodule(place.names[0]))
    banks: list[list[WeightBank]] = []
    for unit, places in enumerate(backbone.places):
        banks.append([])
        for place, modules in zip(places, copies[unit], strict=True):
            ports = backbone.ports[place.names[0]]
            bank = WeightBank(modules, unit, ports, context, checkpoint)
            banks[unit].append(bank)
            for name in place.names:
                skeleton.set_submodule(name, bank)
    if hasattr(skeleton, "set_grad_checkpointing"):
        skeleton.set_grad_checkpointing = _refuse_checkpointing  # type: ignore[assignment]
    skeleton = route_norms(skeleton, context, backbone.normalization, num_tasks)
    take_over_poolings(skeleton, (copy for unit in banks for bank in unit for copy in bank.copies))
    return skeleton, banks


def take_over_poolings(model: nn.Module, called: Iterable[nn.Module]) -> None:
    """Let routed batch norms do the work of ReLU and max-pooling that follow them directly.

    Args:
        model: whose layers may be tied; a norm with several places is left alone.
        called: parts of it that are called as a whole. Only in those that are an
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
            found = pooling_of(layers[position + 1 :])
            if found is None or layer.pooling is not None or list(layer.children()):
                continue
            layer.pooling, length = found
            for place in range(position + 1, position + 1 + length):
                sequence[place] = nn.Identity()


def put_heads(
    backbone: Backbone, skeleton: nn.Module, context: RoutingContext, widths: Sequence[int]
) -> nn.ModuleList:
    """Every task's head: a linear layer, or copies of class layers, where they stay inside.

    ``widths`` holds the number of outputs of each task.
    """
    if not backbone.heads_inside:
        skeleton.set_submodule(backbone.classifier, nn.Identity())
        return nn.ModuleList(nn.Linear(backbone.num_features, n) for n in widths)
    layers = [skeleton.get_submodule(name) for name in backbone.class_layers]
    heads = [[resized(layer, n) for layer in layers] for n in widths]
    for name, copies in zip(backbone.class_layers, zip(*heads, strict=True), strict=True):
        skeleton.set_submodule(name, HeadBank(copies, context))
    return nn.ModuleList(nn.ModuleList(head) for head in heads)


def put_mixers(
    backbone: Backbone, banks: Sequence[Sequence[WeightBank]], mixers: nn.ModuleDict
) -> None:
    """Put mixers, by number of their unit, behind the last place of the unit.

    Raises:
        MtlError: if a unit does not return a single tensor with one row an input.
    """
    for number, mixer in mixers.items():
        unit = backbone.units[int(number)]
        if unit.output_shape is None:
            raise MtlError(
                f"unit {unit.name!r} of backbone {backbone.name!r} does not return a single tensor "
                "with one row an input, so its columns cannot be mixed"
            )
        banks[int(number)][-1].mix_with(mixer)


def _refuse_checkpointing(enable: bool = True) -> None:
    """The model's own switch would repeat calls outside the pass that knows their rows."""
    if enable:
        raise MtlError(
            "set_grad_checkpointing of a rewritten backbone loses track of its rows; build "
            "TaskNetworks(..., checkpoint=True) instead"
        )
