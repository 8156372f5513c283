"""A backbone is built: a model, where it is cut into units, and a place for heads."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import timm
import torch
from torch import Tensor, nn

from ..routing.banks import Ports
from ..routing.statistics_schedule import Normalization
from ..support.errors import MtlError, UnknownNameError, message_of
from .backbone import Backbone, PlainBackbone, Recipe
from .blind import blind_border, check_pixels
from .blocks import STEM
from .channels import channel_dim
from .class_layers import class_layers, in_features
from .config import BackboneConfig, PlainBackboneConfig
from .direct_poolings import direct_poolings
from .inputs import probe_dtype, probe_inputs
from .larger_images import larger_images
from .recurrent import recurrent_modules
from .units import Place, Unit, declared_units, find_places, unit_labels

_WHOLE = (
    "; inputs that are whole numbers are read as tokens are: make floats of quantities, and uint8 "
    "or floats of images"
)


def build_backbone(
    config: BackboneConfig,
    in_chans: int,
    img_size: tuple[int, int] | None,
    factory: Callable[..., nn.Module] | None = None,
    input_shape: tuple[int, ...] | None = None,
    common_input: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Backbone:
    """Cut a timm model, or what a plugin's ``factory`` makes, into units.

    Args:
        config: name, granularity and what is shared.
        in_chans: number of channels of the inputs.
        img_size: height and width of the inputs; ``None`` for inputs that are not images.
        factory: a function that makes the model, for a plugin's backbone; ``None``: timm makes it.
        input_shape: shape of one input where it is not (in_chans, *img_size).
        common_input: whether all tasks read the same inputs, which decides ``normalization: auto``.
        dtype: dtype of the inputs; bytes become floats.

    Raises:
        MtlError: if the model does not exist, cannot take the inputs, or cannot be routed.
    """
    from .probe import find_plan

    dtype = probe_dtype(dtype)
    automatic: Normalization = "shared" if common_input else "task"
    args = _arguments(config, in_chans, img_size, factory)
    surgery = ("small_images",) if config.small_images else ()
    recipe = Recipe(config.name, args, surgery, config.pretrained, factory)
    with torch.random.fork_rng(devices=[]):  # looking at a model draws nothing from the run's seed
        plain = Recipe(config.name, args, surgery, False, factory)
        model = plain.create(2).eval()
        _check_not_recurrent(model, config)
        shape = input_shape or (in_chans, *(img_size or ()))
        inputs = probe_inputs(3, shape, dtype)
        layers, named, ports = _named_units(model, plain.create(3), config, inputs)
        chosen, shared = _choose(named, config)
        stages = _stages(model, layers, config.name)
        scoring = [p for name in layers for p in model.get_submodule(name).parameters()]
        backbone = Backbone(
            recipe=recipe,
            units=tuple(_unit(model, name, places, ports, stages) for name, places in chosen),
            always_shared=tuple(shared),
            num_features=in_features(model.get_submodule(layers[0])),
            normalization=automatic if config.normalization == "auto" else config.normalization,
            branching=True,
            class_layers=layers,
            heads_inside=False,
            input_shape=shape,
            input_dtype=dtype,
            places=tuple(tuple(places) for _, places in chosen),
            ports=ports,
            num_parameters=sum(p.numel() for p in model.parameters())
            - sum(p.numel() for p in scoring),
            **_preprocessing(model, config, in_chans),
            hints=(*_hints(model, config, inputs), *_unread(model, config, shape, dtype)),
            direct_poolings=direct_poolings(model, inputs, [p for _, own in chosen for p in own]),
        )
        return find_plan(backbone, model, inputs)


def build_plain(
    config: PlainBackboneConfig,
    input_shape: tuple[int, ...],
    dtype: torch.dtype,
    num_outputs: int,
    factory: Callable[..., nn.Module] | None = None,
) -> PlainBackbone:
    """Make a timm model, or what a plugin's ``factory`` makes, a backbone that is used as a whole.

    The model is run once, on two inputs of zeros; the global generators stay as they are.

    Args:
        config: name and arguments.
        input_shape: shape of one input; (C, H, W) for images.
        dtype: dtype of the inputs; bytes become floats.
        num_outputs: size of the last dimension of the outputs, as the task's objective wants it.
        factory: a function that makes the model, for a plugin's backbone; ``None``: timm makes it.

    Raises:
        MtlError: if the model does not exist, or cannot turn such inputs into such outputs.
    """
    img_size = (input_shape[1], input_shape[2]) if len(input_shape) == 3 else None
    args = _arguments(config, input_shape[0], img_size, factory)
    surgery = ("small_images",) if config.small_images else ()
    recipe = Recipe(config.name, args, surgery, config.pretrained, factory)
    dtype = torch.get_default_dtype() if dtype == torch.uint8 else dtype
    with torch.random.fork_rng(devices=[]):
        model = recipe.create(num_outputs, pretrained=False).eval()
        try:
            with torch.no_grad():
                outputs = model(torch.zeros(2, *input_shape, dtype=dtype))
        except Exception as error:
            reason = message_of(error)
            reason += larger_images(model, torch.zeros(1, *input_shape, dtype=dtype))
            reason += _WHOLE * (not dtype.is_floating_point)
            raise MtlError(
                f"backbone {config.name!r} cannot run on inputs of shape {input_shape} and "
                f"{dtype}: {reason}"
            ) from error
        hints = _unread(model, config, input_shape, dtype)
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if not isinstance(outputs, Tensor) or (outputs.shape[0], outputs.shape[-1]) != (2, num_outputs):
        raise MtlError(
            f"backbone {config.name!r} turns two inputs of shape {input_shape} into {shape}, "
            f"should be (2, ..., {num_outputs})"
        )
    return PlainBackbone(
        recipe=recipe,
        input_shape=input_shape,
        input_dtype=dtype,
        **_preprocessing(model, config, input_shape[0]),
        hints=hints,
    )


def _check_not_recurrent(model: nn.Module, config: BackboneConfig) -> None:
    if recurrent_modules(model):
        raise MtlError(
            f"backbone {config.name!r} keeps state from batch to batch, which cannot be routed; "
            "it can be a task's own backbone only (task_backbones)"
        )


def _stages(model: nn.Module, layers: Sequence[str], name: str) -> dict[int, str]:
    """Return the stage of every parameter, by identity; its block where the model has no stages."""
    try:
        return unit_labels(model, "stage", layers, name)[0]
    except MtlError:
        return unit_labels(model, "block", layers, name)[0]


def _named_units(
    model: nn.Module, three: nn.Module, config: BackboneConfig, inputs: Tensor
) -> tuple[tuple[str, ...], list[tuple[str, list[Place]]], dict[str, tuple[Ports, ...]]]:
    """Return layers that score classes, all units with names and places, and the places' ports.

    Args:
        model: the model, which is run on ``inputs``.
        three: the same model for three classes; layers that differ score them.
        config: name and granularity.
        inputs: three inputs.
    """
    from .probe import check_rows

    try:
        check_rows(model, config.name, inputs)
        layers = class_layers(model, three, config.name)
        units, stem, ports = find_places(model, config.granularity, layers, config.name, inputs)
    except MtlError:
        raise
    except Exception as error:
        reason = message_of(error)
        raise MtlError(
            f"backbone {config.name!r} cannot run on inputs of shape {tuple(inputs.shape[1:])}: "
            f"{reason}{larger_images(model, inputs)}{_WHOLE * (not inputs.is_floating_point())}"
        ) from error
    declared = declared_units(model) is not None
    named = [
        (_unit_name(model, label, stem, places, declared), places)
        for label, places in units.items()
    ]
    return layers, named, ports


def _arguments(
    config: PlainBackboneConfig,
    in_chans: int,
    img_size: tuple[int, int] | None,
    factory: Callable[..., nn.Module] | None,
) -> dict[str, Any]:
    args: dict[str, Any] = {"in_chans": in_chans}
    if factory is not None:
        return {**args, "img_size": img_size, **config.args}
    if not timm.is_model(config.name):
        known = timm.list_models()
        raise UnknownNameError("backbone", config.name, known, "see `mtl list backbones`")
    cfg = timm.get_pretrained_cfg(config.name)
    if img_size is not None and cfg is not None and cfg.fixed_input_size:
        args["img_size"] = img_size
    return {**args, **config.args}


def _unit_name(
    model: nn.Module, label: str, stem: str | None, places: Sequence[Place], declared: bool
) -> str:
    """Name a unit as the backbone does, else by its largest place."""
    if declared:
        return label
    if label == stem:
        return STEM
    return max((place.names[0] for place in places), key=lambda name: _size(model, name))


def _size(model: nn.Module, place: str) -> int:
    return sum(p.numel() for p in model.get_submodule(place).parameters())


def _unit(
    model: nn.Module,
    name: str,
    places: Sequence[Place],
    ports: Mapping[str, Sequence[Ports]],
    stages: Mapping[int, str],
) -> Unit:
    parameters = {p for place in places for p in model.get_submodule(place.names[0]).parameters()}
    returned = ports[places[-1].names[0]][-1]
    shape = returned.shapes[0] if returned.outputs == (1,) else None
    modules = [model.get_submodule(place.names[0]) for place in places]
    channels_last = getattr(model, "output_fmt", "NCHW") != "NCHW"
    return Unit(
        name,
        tuple(place.names[0] for place in places),
        sum(p.numel() for p in parameters),
        stages[id(next(model.get_submodule(places[0].names[0]).parameters()))],
        shape,
        0 if shape is None else channel_dim(modules, shape, channels_last),
    )


def _choose(
    units: list[tuple[str, list[Place]]], config: BackboneConfig
) -> tuple[list[tuple[str, list[Place]]], list[str]]:
    """Return the units that get a bank, and the names of the others."""

    def matches(name: str, places: list[Place], patterns: Sequence[str]) -> bool:
        names = [name, *(place.names[0] for place in places)]
        return any(fnmatchcase(n, pattern) for n in names for pattern in patterns)

    known = [name for name, _ in units]
    for key, patterns in (("shared", config.shared), ("shareable", config.shareable)):
        for pattern in patterns:
            if pattern != STEM and not any(matches(n, p, [pattern]) for n, p in units):
                raise UnknownNameError(f"unit in backbone.{key}", pattern, known)
    chosen, shared = [], []
    for name, places in units:
        if matches(name, places, config.shareable) and not matches(name, places, config.shared):
            chosen.append((name, places))
        else:
            shared.append(name)
    if not chosen:
        raise MtlError(
            f"backbone.shared={list(config.shared)} and "
            f"backbone.shareable={list(config.shareable)} leave no unit of {config.name!r} "
            f"to share (units: {', '.join(known)})"
        )
    return chosen, shared


def _preprocessing(model: nn.Module, config: PlainBackboneConfig, in_chans: int) -> dict[str, Any]:
    """Return the mean and standard deviation of channels that pretrained weights expect."""
    if not config.pretrained:
        return {}
    cfg: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    settings = {}
    for key in ("mean", "std"):
        values = tuple(float(value) for value in cfg.get(key) or ())
        if values and len(values) != in_chans:  # timm adapts the stem from colour, too
            values = (sum(values) / len(values),) * in_chans
        settings[key] = values or None
    return settings


def _unread(
    model: nn.Module,
    config: PlainBackboneConfig,
    input_shape: tuple[int, ...],
    dtype: torch.dtype,
) -> tuple[str, ...]:
    """Return hints about pixels that a model does not read; refuse a model with many of them."""
    if len(input_shape) != 3 or not dtype.is_floating_point:
        return ()
    border = blind_border(model, torch.randn(2, *input_shape))
    if border.share:  # in narrow models all ReLUs on the way may be off for two images by chance
        generator = torch.Generator().manual_seed(0)
        border = blind_border(model, torch.randn(32, *input_shape, generator=generator))
    return check_pixels(config.name, border, config.unread_pixels)


def _hints(model: nn.Module, config: BackboneConfig, inputs: Tensor) -> tuple[str, ...]:
    if config.small_images or not (hasattr(model, "conv1") and hasattr(model, "maxpool")):
        return ()
    with torch.no_grad():
        features = model.forward_features(inputs[:2])  # type: ignore[operator]
    if features.ndim == 4 and features.shape[-1] == features.shape[-2] == 1:
        size = "x".join(str(n) for n in inputs.shape[-2:])
        return (
            f"the last feature map of {config.name} on {size} images is a single pixel; "
            "backbone.small_images=true keeps more of the image, at many times the cost",
        )
    return ()
