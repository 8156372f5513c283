"""An optimiser's parameters are grouped by decay and by their share of the learning rate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any

from timm.models import group_parameters
from torch import nn

from ..backbones.units import declared_units
from ..networks.model import MultiTaskModel
from ..networks.separate import SeparateNetworks
from ..networks.task_networks import TaskNetworks
from ..routing.banks import WeightBank
from ..support.errors import MtlError
from .training import TrainingConfig

Group = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """The origin of a parameter is a plain model, and its name there.

    Every weight of a bank has the name that the one weight of the plain model has.
    """

    model: nn.Module
    name: str
    unit: int | None = None


def parameter_groups(
    network: MultiTaskModel,
    groups: Iterable[Group],
    training: TrainingConfig,
    weight_decay: float,
) -> list[Group]:
    """Return groups as an optimiser takes them, split where the recipe asks for it.

    Args:
        network: the network that the parameters belong to.
        groups: the strategy's groups: ``params``, and maybe options of their own such as ``lr``,
            ``weight_decay``, or ``lr_scale``, which is multiplied with the recipe's factors.
        training: the recipe, the section ``training`` of the run's config.
        weight_decay: the strategy's weight decay, used for all parameters where the recipe has
            none.

    Returns:
        groups with ``weight_decay``, and with ``lr_scale`` where that is not one; parameters are
        in the order they had.

    Raises:
        MtlError: if layers or heads have factors, but the networks do not tell theirs.
    """
    origins = _origins(network)
    scales = _scales(network, origins, training)
    own = training.weight_decay
    excepted = set() if training.decay_norms_and_biases else _without_decay(network, origins)
    split: dict[tuple[int, float, float], Group] = {}
    for number, group in enumerate(groups):
        for parameter in group["params"]:
            if not parameter.requires_grad:
                continue
            decay = weight_decay if own is None else 0.0 if parameter in excepted else own
            decay = float(group.get("weight_decay", decay))
            scale = float(group.get("lr_scale", 1.0)) * scales.get(parameter, 1.0)
            key = (number, decay, scale)
            if key not in split:
                others = {k: v for k, v in group.items() if k not in ("params", "lr_scale")}
                factor = {} if scale == 1 else {"lr_scale": scale}
                split[key] = {"params": [], **others, "weight_decay": decay, **factor}
            split[key]["params"].append(parameter)
    return list(split.values())


def head_parameters(network: MultiTaskModel) -> set[nn.Parameter]:
    """Return the parameters of all tasks' heads.

    Raises:
        MtlError: if the networks do not tell which those are.
    """
    if isinstance(network, SeparateNetworks):
        heads = [layer.parameters() for model in network.networks for layer in _class_layers(model)]
        return {parameter for parameters in heads for parameter in parameters}
    if not isinstance(network, TaskNetworks):
        raise MtlError(
            f"training.head_factor needs networks that name their heads, which "
            f"{type(network).__name__} does not: leave it out"
        )
    tasks = range(len(network.tasks))
    return {parameter for task in tasks for parameter in network.head_parameters(task)}


def _class_layers(model: nn.Module) -> list[nn.Module]:
    classifier = getattr(model, "get_classifier", None)
    layers = classifier() if callable(classifier) else None
    several = layers if isinstance(layers, (tuple, list)) else [layers]
    return [layer for layer in several if isinstance(layer, nn.Module)]


def _origins(network: MultiTaskModel) -> dict[nn.Parameter, Origin]:
    """Return, for every parameter that has one, its name in a plain model."""
    if isinstance(network, SeparateNetworks):
        return {
            parameter: Origin(model, name, unit)
            for model in network.networks
            for name, parameter, unit in _plain_parameters(model)
        }
    if not isinstance(network, TaskNetworks):
        return {}
    model = network.model
    origins: dict[nn.Parameter, Origin] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, WeightBank):
            for copy in module.copies:
                for name, parameter in copy.named_parameters():
                    origins[parameter] = Origin(model, f"{prefix}.{name}", module.unit)
    for name, parameter in model.named_parameters():
        origins.setdefault(parameter, Origin(model, name))
    return origins


def _plain_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, int | None]]:
    """Return parameters of a plain model with their names and the declared units they lie in."""
    units: dict[nn.Parameter, int] = {}
    for number, places in enumerate((declared_units(model) or {}).values()):
        for place in places:
            units |= dict.fromkeys(model.get_submodule(place).parameters(), number)
    for name, parameter in model.named_parameters():
        yield name, parameter, units.get(parameter)


def _without_decay(
    network: MultiTaskModel, origins: Mapping[nn.Parameter, Origin]
) -> set[nn.Parameter]:
    """Return norms, biases, and what ``no_weight_decay`` of a model names, as timm groups them."""
    patterns: dict[int, Sequence[str]] = {}
    excepted = set()
    for name, parameter in network.named_parameters():
        origin = origins.get(parameter)
        model = network if origin is None else origin.model
        if id(model) not in patterns:
            named = getattr(model, "no_weight_decay", None)
            patterns[id(model)] = sorted(named()) if callable(named) else []
        plain = name if origin is None else origin.name
        matches = any(fnmatchcase(plain, pattern) for pattern in patterns[id(model)])
        if parameter.ndim <= 1 or plain.endswith(".bias") or matches:
            excepted.add(parameter)
    return excepted


def _scales(
    network: MultiTaskModel, origins: Mapping[nn.Parameter, Origin], training: TrainingConfig
) -> dict[nn.Parameter, float]:
    """Compute the factors of the learning rate."""
    scales: dict[nn.Parameter, float] = {}
    if training.layer_decay is not None:
        if not origins:
            raise MtlError(
                f"training.layer_decay needs networks made of the backbone's own layers, which "
                f"{type(network).__name__} is not: leave it out"
            )
        for model in {id(o.model): o.model for o in origins.values()}.values():
            mine = {p: o for p, o in origins.items() if o.model is model}
            class_layers = (
                network.backbone.class_layers if isinstance(network, TaskNetworks) else ()
            )
            depths, deepest = _depths(model, mine, class_layers)
            for parameter, depth in depths.items():
                scales[parameter] = training.layer_decay ** (deepest - depth)
    if training.head_factor != 1:
        for parameter in head_parameters(network):
            scales[parameter] = scales.get(parameter, 1.0) * training.head_factor
    return scales


def _depths(
    model: nn.Module, origins: Mapping[nn.Parameter, Origin], class_layers: Sequence[str]
) -> tuple[dict[nn.Parameter, int], int]:
    """Return the number of every parameter's layer group, and that of the heads.

    Groups are timm's, else the backbone's units, with what stands before them as the first.

    Raises:
        MtlError: if the model has neither.
    """
    matcher = getattr(model, "group_matcher", None)
    if callable(matcher):
        scores = [f"{layer}.weight" for layer in class_layers]
        names = dict.fromkeys([*(origin.name for origin in origins.values()), *scores])
        plain: Any = SimpleNamespace(named_parameters=lambda: ((name, None) for name in names))
        by_name = group_parameters(plain, matcher(coarse=False), reverse=True)
        depths = {parameter: by_name[origin.name] for parameter, origin in origins.items()}
        return depths, max(by_name.values())
    if all(origin.unit is None for origin in origins.values()):
        raise MtlError(
            f"training.layer_decay needs a backbone with groups of layers, and "
            f"{type(model).__name__} has none (no group_matcher): leave it out"
        )
    depths, before = {}, 0
    heads = {parameter for layer in _class_layers(model) for parameter in layer.parameters()}
    for parameter in model.parameters():
        if parameter in heads:  # behind the last unit: they have the rate itself
            continue
        origin = origins[parameter]
        before = before if origin.unit is None else 1 + origin.unit
        depths[parameter] = before
    return depths, max(depths.values()) + 1
