"""A run that is done says what another one could do better."""

from collections.abc import Sequence

import torch
from torch import nn

from ..backbones.backbone import PlainBackbone
from ..support.devices import multiplies_bf16
from .config import RunConfig

_WIDE = 256  # channels in and out, from which on products in bfloat16 are clearly faster
_HELD = 0.01  # share of an average that its first weights should not have at the end
_SHARE = 0.8  # of all weights that lie in layers so wide


def advice(
    backbones: Sequence[PlainBackbone], network: nn.Module, config: RunConfig, device: torch.device
) -> list[str]:
    """Return all hints on a run's backbones and on its precision, each once.

    They are for its end: no first line of a run that does as it was told.
    """
    hints = [hint for backbone in backbones for hint in backbone.hints]
    hints += [*average_hints(config), *precision_hints(network, config, device)]
    return list(dict.fromkeys(hints))


def average_hints(config: RunConfig) -> list[str]:
    """Return a hint on an average that holds on to the weights of a run's start; else nothing.

    That is an exponential one without warm-up of which the weights that it began with are a
    hundredth or more at the end, or a plain one over all steps.
    """
    average = config.training.average
    if average is None:
        return []
    moves = (config.iterations - average.start) // config.training.accumulate
    if average.name == "swa" and not average.start:
        late = config.iterations * 3 // 4
        return [
            "training.average: swa is the mean of all steps, those of random weights too; "
            f"training.average.start={late} leaves them out"
        ]
    share = 0.0 if average.warmup or moves < 1 else average.decay**moves
    if average.name == "swa" or share < _HELD:
        return []
    return [
        f"training.average: {100 * share:.0f} % of the average at the end are the weights that it "
        "began with; training.average.warmup=true forgets them"
    ]


def precision_hints(network: nn.Module, config: RunConfig, device: torch.device) -> list[str]:
    """Return a hint on ``precision``, where it is likely to pay; else nothing.

    It is for runs in fp32 on a CPU that multiplies bfloat16 by itself, of networks whose weights
    lie in wide convolutions and dense layers. Networks with four fifths of their weights in such
    layers (ResNets, ViT-S, Swin-T, ConvNeXt-T) were clearly faster when tried by hand; among the
    others are MobileNets, which bfloat16 makes slower.

    Args:
        network: the networks of all tasks.
        config: configuration of the run.
        device: the device that trains.
    """
    if config.precision != "fp32" or device.type != "cpu" or not multiplies_bf16():
        return []
    if _share_of_wide_layers(network) < _SHARE:
        return []
    return [
        "this CPU multiplies bfloat16 by itself, and most weights lie in wide layers: "
        "--precision bf16 is likely to be faster, with less exact sums"
    ]


def _share_of_wide_layers(network: nn.Module) -> float:
    """Return which share of all weights lies in wide layers without groups of channels."""
    total = sum(parameter.numel() for parameter in network.parameters())
    wide = 0
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            narrowest = min(layer.in_features, layer.out_features)
        elif isinstance(layer, nn.Conv2d) and layer.groups == 1:
            narrowest = min(layer.in_channels, layer.out_channels)
        else:
            continue
        if narrowest >= _WIDE:
            wide += layer.weight.numel()
    return wide / total if total else 0.0
