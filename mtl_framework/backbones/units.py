"""A model is cut into units and their places."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..routing.banks import Ports
from ..support.errors import MtlError
from .blocks import STEM, repeated_blocks

_CLASSES = "class scores"
#: Attribute by which a module that is no backbone of its own carries its units.
UNITS = "_mtl_units"


@dataclass(frozen=True)
class Place:
    """A place is a submodule that belongs to one unit as a whole.

    Args:
        names: every name under which the model holds this module; more than one where it is tied.
        unit: label of the unit.
    """

    names: tuple[str, ...]
    unit: str


@dataclass(frozen=True)
class Unit:
    """A unit is a part of the backbone that is shared or not as a whole.

    Args:
        name: name of the unit: its first place's, or what the backbone calls it.
        places: names of the submodules that make it up, in execution order.
        num_parameters: number of parameters of one weight of the unit.
        stage: label of the stage that the unit belongs to: that of the next unit, unless the stage
            ends here.
        output_shape: shape of the unit's output for one input; ``None`` where that is not one
            tensor.
        channel_dim: position of the channels in ``output_shape``.
    """

    name: str
    places: tuple[str, ...]
    num_parameters: int
    stage: str
    output_shape: tuple[int, ...] | None
    channel_dim: int


def unit_labels(
    model: nn.Module, granularity: str, class_layers: Sequence[str], backbone: str
) -> tuple[dict[int, str], str | None]:
    """Return the unit label of every parameter, by identity, and the label of the stem.

    Raises:
        MtlError: if the model has no units, or none of this granularity.
    """
    labels: dict[int, str] = {}
    declared = declared_units(model)
    if declared is None and not hasattr(model, "group_matcher"):
        declared = repeated_blocks(model, granularity)
    if declared:
        for unit, places in declared.items():
            for place in places:
                try:
                    module = model.get_submodule(place)
                except AttributeError:
                    raise MtlError(
                        f"backbone {backbone!r}: unit {unit!r} names {place!r}, which does not "
                        "exist"
                    ) from None
                labels.update((id(p), unit) for p in module.parameters())
        stem = STEM if STEM in declared else None
    elif hasattr(model, "group_matcher"):
        groups = group_parameters(model, _groups(model, granularity, backbone))
        parameters = dict(model.named_parameters())
        for group, names in groups.items():
            labels.update((id(parameters[name]), str(group)) for name in names)
        stem = str(min(groups))
    else:
        raise MtlError(
            f"backbone {backbone!r} ({type(model).__name__}) has no group_matcher, no repeated "
            "blocks, and declares no units(); wrap it in a plugin's backbone that does"
        )
    for layer in [*_classifiers(model), *(model.get_submodule(name) for name in class_layers)]:
        labels.update((id(p), _CLASSES) for p in layer.parameters())
    return labels, stem


def _groups(model: nn.Module, granularity: str, backbone: str) -> Any:
    matcher: Callable[..., Any] = model.group_matcher  # type: ignore[assignment]
    try:
        return matcher(coarse=granularity == "stage")
    except (AssertionError, NotImplementedError):  # timm's way to say that a model has no stages
        if granularity != "stage":
            raise
        raise MtlError(
            f"backbone {backbone!r} groups its layers into no stages: leave backbone.granularity "
            "at block"
        ) from None


def _classifiers(model: nn.Module) -> list[nn.Module]:
    """Return what the model calls its classifier; norms before the scores are no own unit."""
    own = getattr(model, "get_classifier", None)
    classifier = own() if callable(own) else None
    parts = classifier if isinstance(classifier, (tuple, list)) else [classifier]
    return [part for part in parts if isinstance(part, nn.Module)]


def declared_units(model: nn.Module) -> Mapping[str, Sequence[str]] | None:
    """Read a backbone's ``units()``, where it has one, or what was declared for a module."""
    given: Mapping[str, Sequence[str]] | None = vars(model).get(UNITS)
    if given is not None:
        return given
    own = getattr(model, "units", None)
    return own() if callable(own) and not isinstance(own, nn.Module) else None


def _places(model: nn.Module, labels: Mapping[int, str]) -> list[Place]:
    """Return maximal submodules all of whose parameters carry one label."""
    names: dict[int, list[str]] = {}
    units: dict[int, str] = {}

    def visit(module: nn.Module, prefix: str) -> None:
        for name, child in _children(module):  # every name of a tied module counts
            path = f"{prefix}{name}"
            child_labels = {labels.get(id(p)) for p in child.parameters()}
            if len(child_labels) == 1 and isinstance(label := next(iter(child_labels)), str):
                names.setdefault(id(child), []).append(path)
                units[id(child)] = label
            elif child_labels:
                visit(child, f"{path}.")

    visit(model, "")
    return [Place(tuple(same), units[key]) for key, same in names.items()]


def find_places(
    model: nn.Module,
    granularity: str,
    class_layers: Sequence[str],
    backbone: str,
    inputs: Tensor,
) -> tuple[dict[str, list[Place]], str | None, dict[str, tuple[Ports, ...]]]:
    """Find units of a model, their places in execution order, and what passes through them.

    Two forward passes with different batch sizes show which modules are called, in which order,
    and which of their arguments and outputs grow with the batch.

    Args:
        model: a plain model; it is run, not changed.
        granularity: ``"block"`` or ``"stage"``.
        class_layers: names of the layers that become task heads.
        backbone: name of the backbone, for errors.
        inputs: at least three inputs (B, ...).

    Returns:
        units in order of their first call, each with its places; the stem's label; ports of every
        place by its first name.

    Raises:
        MtlError: if an argument's batch dimension is of an unsupported kind.
    """
    labels, stem = unit_labels(model, granularity, class_layers, backbone)
    places = [place for place in _places(model, labels) if place.unit != _CLASSES]
    while True:
        small = _record(model, places, inputs[:2])
        uncalled = [place for place in places if place.names[0] not in small]
        split = [part for place in uncalled for part in _parts(model, place)]
        if not split:
            break
        # the model reaches into these containers itself: their children are the places
        places = [place for place in places if place not in uncalled] + split
    large = _record(model, places, inputs[:3])
    units: dict[str, list[Place]] = {}
    by_name = {place.names[0]: place for place in places}
    for name in small:
        units.setdefault(by_name[name].unit, []).append(by_name[name])
    for unit in declared_units(model) or ():
        if unit not in units:
            raise MtlError(
                f"backbone {backbone!r}: a forward pass never calls unit {unit!r}, so that it "
                "cannot be shared; leave it out of the units"
            )
    ports = {
        name: tuple(
            Ports(
                _factors(few[0], many[0], name, backbone),
                _factors(few[1], many[1], name, backbone),
                tuple(shape and shape[1:] for shape in few[1]),
            )
            for few, many in zip(small[name], large[name], strict=True)
        )
        for name in small
    }
    return units, stem, ports


def _children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Return children under all their names; ``named_children`` tells each only once."""
    for name, child in module._modules.items():
        if child is not None:
            yield name, child


def _parts(model: nn.Module, place: Place) -> Iterator[Place]:
    names: dict[int, list[str]] = {}
    for name, child in _children(model.get_submodule(place.names[0])):
        if any(True for _ in child.parameters()):
            names.setdefault(id(child), []).extend(f"{prefix}.{name}" for prefix in place.names)
    for same in names.values():
        yield Place(tuple(same), place.unit)


Leaves = list[Any]


def _record(
    model: nn.Module, places: Sequence[Place], inputs: Tensor
) -> dict[str, list[tuple[Leaves, Leaves]]]:
    """Record argument and output leaves of all calls of every place, in order of first calls."""
    calls: dict[str, list[tuple[Leaves, Leaves]]] = {}

    def shape(leaf: Any) -> Any:
        return tuple(leaf.shape) if isinstance(leaf, Tensor) else None

    def before(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            leaves = [shape(leaf) for leaf in pytree.tree_leaves((args, kwargs))]
            calls.setdefault(name, []).append((leaves, []))

        return hook

    def after(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            calls[name][-1][1].extend(shape(leaf) for leaf in pytree.tree_leaves(result))

        return hook

    handles = []
    for place in places:
        module = model.get_submodule(place.names[0])
        name = place.names[0]
        handles.append(module.register_forward_pre_hook(before(name), with_kwargs=True))
        handles.append(module.register_forward_hook(after(name), with_kwargs=True))
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _factors(
    few: Sequence[Any], many: Sequence[Any], place: str, backbone: str
) -> tuple[int | None, ...]:
    """Measure how each leaf grows from a batch of two to a batch of three."""
    if len(few) != len(many):
        raise MtlError(
            f"backbone {backbone!r}: {place} gets {len(few)} values with 2 inputs and {len(many)} "
            "with 3, so rows cannot be followed"
        )
    factors: list[int | None] = []
    for a, b in zip(few, many, strict=True):
        if a == b:
            factors.append(None)
        elif a[0] * 3 == b[0] * 2 and a[1:] == b[1:]:
            factors.append(a[0] // 2)
        else:
            raise MtlError(
                f"backbone {backbone!r}: {place} passes a tensor of shape {a} for 2 inputs and {b} "
                "for 3; only a first dimension proportional to the batch can be routed"
            )
    return tuple(factors)
