"""A model is rewritten in place: banks where its units were, heads where class layers were."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ..backbones.backbone import Backbone
from ..backbones.maps import FeatureMap
from ..data.tasks import Task
from ..routing.banks import WeightBank, make_bank
from ..routing.cpu.take_over import take_over_named, take_over_poolings
from ..routing.forward_pass import ForwardPass
from ..routing.heads import HeadBank, resized
from ..routing.replace_norms import route_norms
from ..support.errors import MtlError
from .dense import map_head

Prepare = Callable[[int, list[nn.Module]], Sequence[nn.Module]]
"""Makes the copies of one place of a unit, by number, of those that the backbone has there."""


def one_each(backbone: Backbone, weights_per_unit: int | Sequence[int]) -> tuple[int, ...]:
    """Return K of every unit, where one number may stand for all.

    Raises:
        MtlError: if there is not one for each unit, or one is below one.
    """
    units = len(backbone.units)
    weights = [weights_per_unit] * units if isinstance(weights_per_unit, int) else weights_per_unit
    if len(weights) != units:
        raise MtlError(
            f"weights_per_unit has {len(weights)} entries, backbone {backbone.name!r} has {units} "
            "units"
        )
    if min(weights) < 1:
        raise MtlError(f"weights_per_unit should be at least 1, found {min(weights)}")
    return tuple(weights)


def rewrite(
    backbone: Backbone,
    weights_per_unit: Sequence[int],
    forward_pass: ForwardPass,
    maps: Sequence[tuple[FeatureMap, ...]],
    checkpoint: bool,
    prepare: Prepare | None = None,
) -> tuple[nn.Module, list[list[WeightBank]]]:
    """Make a fresh model with a bank in every place of every unit, and return the banks by unit.

    Args:
        backbone: the backbone, which says what is shared and where.
        weights_per_unit: K of every unit; copy k comes from the k-th freshly made model.
        forward_pass: the pass that its parts take part in.
        maps: the maps that each task's head reads; none where it reads features.
        checkpoint: whether the activations of units are recomputed in the backward pass.
        prepare: a function that makes the copies of a place, given its unit's number and fresh
            ones.

    Raises:
        MtlError: if a layer keeps running statistics of an unknown kind.
    """
    model = backbone.create(2)
    copies: list[list[list[nn.Module]]] = [[[] for _ in places] for places in backbone.places]
    for k in range(max(weights_per_unit)):
        source = model if k == 0 else backbone.create(2)
        for unit, places in enumerate(backbone.places):
            if k < weights_per_unit[unit]:
                for position, place in enumerate(places):
                    copies[unit][position].append(source.get_submodule(place.names[0]))
    banks: list[list[WeightBank]] = []
    for unit, places in enumerate(backbone.places):
        banks.append([])
        for place, modules in zip(places, copies[unit], strict=True):
            ports = backbone.ports[place.names[0]]
            ready = modules if prepare is None else prepare(unit, modules)
            bank = make_bank(ready, unit, ports, forward_pass, checkpoint)
            banks[unit].append(bank)
            for name in place.names:
                model.set_submodule(name, bank)
    if hasattr(model, "set_grad_checkpointing"):
        model.set_grad_checkpointing = _refuse_checkpointing  # type: ignore[assignment]
    model = route_norms(model, forward_pass, backbone.normalization, len(maps))
    take_over_poolings(model, (copy for unit in banks for bank in unit for copy in bank.copies))
    if not any(maps):  # which are read between the layers of a stem
        take_over_named(model, backbone.direct_poolings)
    return model, banks


def put_heads(
    backbone: Backbone,
    model: nn.Module,
    forward_pass: ForwardPass,
    tasks: Sequence[Task],
    maps: Sequence[tuple[FeatureMap, ...]],
) -> nn.ModuleList:
    """Make every task's head: a linear layer, or copies of class layers, where they stay inside.

    Tasks whose outputs are maps have a decoder of the ``maps`` that belong to them. A task may use
    the head of an earlier one (:attr:`Task.head_of`).

    Raises:
        MtlError: if tasks share a head that stays inside the model, or one of other outputs.
    """
    owners = _owners(tasks)
    if backbone.heads_inside and any(owner != n for n, owner in enumerate(owners)):
        raise MtlError(
            f"backbone {backbone.name!r} does more with class scores than return them, so that "
            "its heads cannot be shared: leave out shared_heads"
        )
    widths = [task.objective.num_outputs for task in tasks]
    if not backbone.heads_inside:
        model.set_submodule(backbone.classifier, nn.Identity())
        size = backbone.input_shape[-2:]
        own_heads = [
            map_head(task, own, (size[0], size[1])) if own else nn.Linear(backbone.num_features, n)
            for task, own, n in zip(tasks, maps, widths, strict=True)
        ]
        return nn.ModuleList(own_heads[owner] for owner in owners)
    layers = [model.get_submodule(name) for name in backbone.class_layers]
    heads = [[resized(layer, n) for layer in layers] for n in widths]
    for name, copies in zip(backbone.class_layers, zip(*heads, strict=True), strict=True):
        model.set_submodule(name, HeadBank(copies, forward_pass))
    return nn.ModuleList(nn.ModuleList(head) for head in heads)


def _owners(tasks: Sequence[Task]) -> list[int]:
    """Return the position of the task whose head each task uses."""
    positions = {task.name: number for number, task in enumerate(tasks)}
    owners: list[int] = []
    for number, task in enumerate(tasks):
        owner = number if task.head_of is None else positions.get(task.head_of, number)
        if task.head_of is not None and owner >= number:
            raise MtlError(f"task {task.name!r} has the head of {task.head_of!r}, no earlier task")
        first = tasks[owner]
        if first.objective.num_outputs != task.objective.num_outputs or first.head != task.head:
            raise MtlError(
                f"tasks {first.name!r} and {task.name!r} cannot share a head: their outputs or "
                "heads differ"
            )
        owners.append(owners[owner] if owner < number else number)
    return owners


def rename_older_keys(
    network: nn.Module, state: dict[str, Any], prefix: str, *rest: object
) -> None:
    """Rename what was saved before the rewritten model was called ``model``."""
    for key in [key for key in state if key.startswith(f"{prefix}skeleton.")]:
        state[prefix + "model." + key.removeprefix(f"{prefix}skeleton.")] = state.pop(key)


def _refuse_checkpointing(enable: bool = True) -> None:
    """Refuse the model's own switch, which repeats calls outside the pass that knows their rows."""
    if enable:
        raise MtlError(
            "set_grad_checkpointing of a rewritten backbone loses track of its rows; build "
            "TaskNetworks(..., checkpoint=True) instead"
        )
