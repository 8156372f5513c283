"""The copies of a unit are made to share one trunk, each with its own adapters beside it."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from mtl_framework import AdaptedLayer, Backbone, MtlError, UnknownNameError

from .config import AdaptersConfig
from .layers import adapted, is_layer, kernel


def chosen_layers(backbone: Backbone, config: AdaptersConfig) -> list[set[str]]:
    """Return, for every unit, the plain model's names of the layers that get an adapter.

    Raises:
        MtlError: if a pattern of ``config.layers`` fits no layer of a unit, or if no layer of the
            backbone would get an adapter.
    """
    if config.kind == "norms":
        return [set() for _ in backbone.units]
    with torch.random.fork_rng(devices=[]):
        model = backbone.recipe.create(2, pretrained=False)
    by_unit: list[dict[str, nn.Module]] = []
    for places in backbone.places:
        names = [place.names[0] for place in places]
        layers = {
            f"{name}.{inner}" if inner else name: module
            for name in names
            for inner, module in model.get_submodule(name).named_modules()
            if is_layer(module)
        }
        by_unit.append(layers)
    if config.layers == "auto":
        every = config.kind == "low_rank"
        chosen = [
            {name for name, layer in own.items() if every or set(kernel(layer)) != {1}}
            for own in by_unit
        ]
    else:
        known = [name for own in by_unit for name in own]
        for pattern in config.layers:
            if not any(fnmatchcase(name, pattern) for name in known):
                raise UnknownNameError("layer in strategy.layers", pattern, known)
        chosen = [
            {name for name in own if any(fnmatchcase(name, p) for p in config.layers)}
            for own in by_unit
        ]
    if not any(chosen):
        raise MtlError(
            f"strategy adapters: no unit of backbone {backbone.name!r} has a dense layer or a "
            "convolution larger than 1x1; strategy.layers can name others"
        )
    return chosen


class Preparing:
    """:class:`TaskNetworks` calls this object once for every place where a unit has modules.

    Args:
        backbone: the backbone whose units get adapters.
        config: the options that say which layers get which adapters.
    """

    def __init__(self, backbone: Backbone, config: AdaptersConfig) -> None:
        self.backbone, self.config = backbone, config
        self.chosen = chosen_layers(backbone, config)
        self._at = [0] * len(backbone.units)
        with torch.random.fork_rng(devices=[]):  # networks start as those of other strategies do
            self._draws = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))

    def __call__(self, unit: int, copies: Sequence[nn.Module]) -> list[nn.Module]:
        """Let the copies of a module share their layers, and put adapters of each beside them.

        A unit may have modules at several places of the model; calls for one unit come in the order
        of its places.

        Args:
            unit: position of the unit.
            copies: equal modules, one for every adapter of the unit.

        Returns:
            the copies, changed in place; one that is itself an adapted layer is a new module.

        Raises:
            MtlError: if an adapter does not fit its layer.
        """
        config = self.config
        place = self.backbone.places[unit][self._at[unit]].names[0]
        self._at[unit] += 1
        first = copies[0]
        norms = {name for name, module in first.named_modules() if is_norm(module)}
        for copy in copies[1:]:
            tie(copy, first, norms if config.own_norms else set())
        ready = []
        for copy in copies:
            for name, layer in list(copy.named_modules()):
                full = f"{place}.{name}" if name else place
                if full not in self.chosen[unit]:
                    continue
                around = adapted(
                    config.kind if config.kind != "norms" else "parallel",
                    layer,
                    start=config.start,
                    rank=config.rank,
                    scale=config.scale,
                    dropout=config.dropout,
                    generator=self._draws,
                )
                if name:
                    copy.set_submodule(name, around)
                else:
                    copy = around
            ready.append(copy)
        return ready


def is_norm(module: nn.Module) -> bool:
    """Say whether a module is a norm.

    A norm has "Norm" in the name of its class, parameters of one dimension only, and no modules
    with parameters inside.
    """
    own = list(module.parameters(recurse=False))
    below = any(True for child in module.children() for _ in child.parameters())
    named = "Norm" in type(module).__name__
    return named and not below and bool(own) and all(p.ndim == 1 for p in own)


def tie(copy: nn.Module, first: nn.Module, own: set[str]) -> None:
    """Let a copy of a module use the parameters of the first copy.

    Modules named in ``own`` keep parameters of their own, which start with the first copy's values.
    So do all buffers, such as running averages.
    """
    modules = dict(copy.named_modules())
    for name, original in first.named_modules():
        module = modules[name]
        for key, parameter in original._parameters.items():
            if parameter is None:
                continue
            if name in own:
                module._parameters[key].data.copy_(parameter.data)
            else:
                module._parameters[key] = parameter
        for key, buffer in original._buffers.items():
            if buffer is not None:
                module._buffers[key].copy_(buffer)


def adapted_layers(model: nn.Module) -> dict[str, AdaptedLayer]:
    """Return all layers of a model that have an adapter beside them, by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, AdaptedLayer)}
