"""One task's network is taken out of the rewritten backbone, or put into it."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..backbones.maps import FeatureMap
from ..routing.banks import WeightBank
from ..routing.norms import RoutedBatchNorm
from ..support.errors import MtlError
from .adapted import AdaptedLayer
from .dense import MapHead, blank_network


def extract_plain(
    backbone: Backbone,
    rewritten: nn.Module,
    head: nn.Module,
    weights: Sequence[int],
    task: int,
    maps: Sequence[FeatureMap] = (),
) -> nn.Module:
    """Make a fresh plain model that holds a task's weights, on the CPU, in evaluation mode.

    Args:
        backbone: the backbone, which makes the plain model.
        rewritten: the rewritten model, with banks in the places of its units.
        head: the task's linear head, or its copies of the class layers.
        weights: the task's weight of every unit.
        task: position of the task, which selects its own running averages where it has some.
        maps: the maps that the head reads, where its outputs are maps.
    """
    if isinstance(head, MapHead):
        return _extract_dense(backbone, rewritten, head, weights, task, maps)
    layers = list(head) if isinstance(head, nn.ModuleList) else [head]
    outputs = next(layers[0].parameters()).shape[0]
    with torch.random.fork_rng(devices=[]):
        model = backbone.recipe.create(outputs, pretrained=False)
    state = dict(_plain_state(rewritten, weights, task))
    wanted = model.state_dict()
    for name, layer in zip(backbone.class_layers, layers, strict=True):
        for key, value in layer.state_dict().items():
            if f"{name}.{key}" in wanted:
                state[f"{name}.{key}"] = value.reshape(wanted[f"{name}.{key}"].shape)
    dtype = next(layers[0].parameters()).dtype
    if dtype != torch.float32:
        model = model.to(dtype)
    model.load_state_dict({key: value.detach().cpu() for key, value in state.items()})
    return model.eval()


def _extract_dense(
    backbone: Backbone,
    rewritten: nn.Module,
    head: MapHead,
    weights: Sequence[int],
    task: int,
    maps: Sequence[FeatureMap],
) -> nn.Module:
    """Make one network of a fresh plain model without class layer and a copy of the head."""
    network = blank_network(backbone, head.deployed(), maps)
    state = dict(_plain_state(rewritten, weights, task))
    network.to(next(head.parameters()).dtype)
    network.model.load_state_dict({key: value.detach().cpu() for key, value in state.items()})
    return network.eval()


@torch.no_grad()
def insert_plain(
    backbone: Backbone,
    rewritten: nn.Module,
    head: nn.Module | None,
    weights: Sequence[int],
    state: Mapping[str, Tensor],
    task: int,
    num_tasks: int,
) -> None:
    """Copy a plain model's state into a rewritten one.

    Where tasks have running averages of their own, those in the banks are set for all tasks, those
    outside for one.

    Args:
        backbone: the backbone of both.
        rewritten: the rewritten model.
        head: the head that gets the state's class layers; ``None``: they are left out.
        weights: the weight of every unit that the path consists of.
        state: tensors of the plain model by name.
        task: the task whose running averages outside the banks are set.
        num_tasks: T.

    Raises:
        MtlError: naming the first tensor that is missing or has another shape; nothing has changed
            then.
    """
    if isinstance(head, MapHead):  # a DenseNetwork's
        state = {key.removeprefix("model."): value for key, value in state.items()}
    names = [name for places in backbone.places for place in places for name in place.names]
    banked = tuple(f"{name}." for name in names)
    targets = [
        (name, target)
        for t in range(num_tasks)
        for name, target in _plain_state(rewritten, weights, t, merging=False)
        if t == task or name.startswith(banked)
    ]
    if isinstance(head, MapHead):
        own = head.decoder.state_dict()
        targets += [(f"head.decoder.{key}", value) for key, value in own.items()]
        head = None
    layers = list(head) if isinstance(head, nn.ModuleList) else [head] if head is not None else []
    for name, layer in zip(backbone.class_layers, layers, strict=bool(layers)):
        targets += [(f"{name}.{key}", value) for key, value in layer.state_dict().items()]
    pairs = []
    for name, target in targets:
        source = state.get(name)
        if source is None or source.squeeze().shape != target.squeeze().shape:
            there = "missing" if source is None else f"of shape {tuple(source.shape)}"
            raise MtlError(
                f"{name} of backbone {backbone.name!r} should have shape {tuple(target.shape)}, "
                f"but is {there}"
            )
        pairs.append((target, source.reshape(target.shape)))
    for target, source in pairs:
        target.copy_(source)


def _plain_state(
    module: nn.Module, weights: Sequence[int], task: int, prefix: str = "", merging: bool = True
) -> Iterator[tuple[str, Tensor]]:
    """Return the state of one path, under the names of the plain model.

    Where something stands beside a layer, it is merged into the layer's state; without ``merging``
    the layer's own tensors are returned, for taking over those of a plain model.
    """
    if isinstance(module, WeightBank):
        copy = module.copies[weights[module.unit]]
        yield from _plain_state(copy, weights, task, prefix, merging)
        return
    if isinstance(module, AdaptedLayer):
        if merging:
            yield from ((prefix + name, value) for name, value in module.merged(task).items())
        else:
            yield from _plain_state(module.layer, weights, task, prefix, merging)
        return
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield prefix + name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            plain = (
                module.plain_buffer(name, task) if isinstance(module, RoutedBatchNorm) else buffer
            )
            yield prefix + name, plain
    for name, child in module._modules.items():
        if child is not None:
            yield from _plain_state(child, weights, task, f"{prefix}{name}.", merging)
