"""Backbones have feature maps: which depths they give, and how far paths have branched there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..routing.forward_pass import ForwardPass
from ..support.errors import MtlError, message_of
from .backbone import Backbone
from .inputs import probe_inputs
from .probe import features_without_head, probe_plan, rewritten

Rows = Float[Tensor, "_ _ ..."]
MOST = 4  # maps of a pyramid: what decoders of the field read


@dataclass(frozen=True)
class FeatureMap:
    """A feature map is given by a backbone on its way.

    Args:
        index: number of the map among those of timm's ``forward_intermediates``.
        level: number of units that its rows have passed: a map belongs to the paths down to there.
        channels: number of channels.
        size: height and width, for inputs of the backbone's shape.
        stride: number of input pixels by pixel of the map, rounded.
        tokens: whether rows that branch have to be asked for as (rows, positions, channels):
            plain transformers make maps of tokens for as many rows as they were given.
    """

    index: int
    level: int
    channels: int
    size: tuple[int, int]
    stride: int
    tokens: bool = False


def forward_maps(
    model: nn.Module,
    inputs: Float[Tensor, "_ _ _ _"],
    maps: Sequence[FeatureMap],
    features: bool,
) -> tuple[Rows | None, list[Float[Tensor, "_ _ _ _"]]]:
    """Run a model for its maps, and for what its classifier reads, in one pass.

    Args:
        model: a model with timm's ``forward_intermediates`` and ``forward_head``.
        inputs: images.
        maps: the maps that are wanted, in the model's order.
        features: whether to go on to the end of the model.

    Returns:
        what ``forward_head`` returns, or ``None``; and the maps (rows, channels, height, width).
    """
    options: dict[str, Any] = {"indices": [each.index for each in maps], "output_fmt": "NCHW"}
    if maps[0].tokens:
        options["output_fmt"] = "NLC"
    if features:
        last, given = model.forward_intermediates(  # type: ignore[operator]
            inputs, **options, intermediates_only=False
        )
        end: Tensor = model.forward_head(last)  # type: ignore[operator]
        return end, _as_images(given, maps)
    given = model.forward_intermediates(  # type: ignore[operator]
        inputs, **options, intermediates_only=True
    )
    return None, _as_images(given, maps)


def _as_images(given: Sequence[Tensor], maps: Sequence[FeatureMap]) -> list[Tensor]:
    """Return maps as (rows, channels, height, width), tokens in the order of their positions."""
    return [
        x.transpose(1, 2).unflatten(2, each.size) if each.tokens else x
        for x, each in zip(given, maps, strict=True)
    ]


def find_maps(backbone: Backbone) -> tuple[tuple[FeatureMap, ...], str]:
    """Find the maps that a backbone gives, in order; or none, and why.

    As for the plan of its rows, the rewritten model is run with paths that leave each other unit by
    unit: a map's number of rows says how many units lie before it.
    """
    if len(backbone.input_shape) != 3:
        return (), "its inputs are no images"
    if backbone.heads_inside:
        return (), "it does more with class scores than return them"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = backbone.recipe.create(2, pretrained=False).eval()
        for method in ("forward_intermediates", "forward_head"):
            if not callable(getattr(model, method, None)):
                return (), f"{type(model).__name__} has no {method}, by which timm's models do"
        inputs = probe_inputs(2, backbone.input_shape, backbone.input_dtype)
        reason = ""
        for tokens in (False, True):
            try:
                return _probed(backbone, model, inputs, tokens), ""
            except Exception as error:  # models raise many kinds
                reason = reason or message_of(error)[:200]
    return (), reason


def feature_maps(backbone: Backbone, task: str) -> tuple[FeatureMap, ...]:
    """Return the maps that a backbone gives.

    Raises:
        MtlError: naming the ``task`` that needs them, if there are none.
    """
    maps, reason = find_maps(backbone)
    if not maps:
        raise MtlError(
            f"task {task!r} is learned from feature maps, and backbone {backbone.name!r} gives "
            f"none: {reason}"
        )
    return maps


def pyramid(maps: Sequence[FeatureMap]) -> tuple[FeatureMap, ...]:
    """Choose the maps that a decoder reads: the deepest of each stride, at most the last four.

    Where all have one stride, as in plain transformers, it reads four in equal distances, the last
    one among them.
    """
    deepest = {feature_map.size: feature_map for feature_map in maps}
    if len(deepest) > 1:
        return tuple(deepest.values())[-MOST:]
    count = min(MOST, len(maps))
    places = [math.ceil(len(maps) * (number + 1) / count) - 1 for number in range(count)]
    return tuple(maps[place] for place in places)


def _probed(
    backbone: Backbone, model: nn.Module, inputs: Tensor, tokens: bool
) -> tuple[FeatureMap, ...]:
    plain = features_without_head(backbone, model, inputs)
    wanted = model.forward_intermediates(  # type: ignore[operator]
        inputs, output_fmt="NCHW", intermediates_only=True
    )
    asked = [_asked(index, x, backbone.input_shape, tokens) for index, x in enumerate(wanted)]
    forward_pass = ForwardPass()
    plan = probe_plan(backbone, inputs, backbone.branching)
    start = inputs.repeat_interleave(plan.num_groups(0), 0)
    with rewritten(backbone, model, forward_pass), forward_pass.running(plan, False):
        end, given = forward_maps(model, start, asked, True)
    assert end is not None
    assert plain is not None
    behind = plain.repeat_interleave(len(plan.columns.task), 0)
    _check_alike(end.flatten(1), behind, "the features behind them")
    maps = []
    for each, expected, x in zip(asked, wanted, given, strict=True):
        groups = len(x) // len(inputs)
        levels = [n for n in range(plan.num_units + 1) if plan.num_groups(n) == groups]
        _check_alike(x, expected.repeat_interleave(groups, 0), f"map {each.index}")
        maps.append(replace(each, level=levels[-1]))
    return tuple(maps)


def _asked(
    index: int, given: Float[Tensor, "_ _ _ _"], inputs: Sequence[int], tokens: bool
) -> FeatureMap:
    """Make a map of its number and shape, its level unknown yet."""
    _, channels, height, width = given.shape
    stride = round(math.sqrt(inputs[1] * inputs[2] / (height * width)))
    return FeatureMap(index, 0, channels, (height, width), stride, tokens)


def _check_alike(found: Tensor, expected: Tensor, what: str) -> None:
    scale = 1e-3 * float(expected.abs().max())
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=0, atol=scale):
        raise MtlError(f"{what} differ from the plain model's")
