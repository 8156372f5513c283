"""Mixers are put behind the units of a rewritten model, and taken out of it again."""

import copy
from collections.abc import Sequence

from torch import nn

from ..backbones.backbone import Backbone
from ..routing.banks import WeightBank
from ..routing.mixing import ColumnMixer, MixedRows, behind_of, reads_of, running_layers
from ..routing.replace_norms import plain_norms, route_norms
from ..support.errors import MtlError


def put_mixers(
    backbone: Backbone,
    banks: Sequence[Sequence[WeightBank]],
    mixers: nn.ModuleDict,
    branching: bool,
    num_tasks: int,
) -> None:
    """Put mixers, by number of their unit, behind the last place of the unit.

    Raises:
        MtlError: if rows do not branch unit by unit, a unit does not return a single tensor with
            one row an input, or a mixer asks for what it cannot get.
    """
    if mixers and not branching:
        raise MtlError(
            f"backbone {backbone.name!r} reads tensors of a unit again behind a later one, so "
            "the columns of its units cannot be mixed"
        )
    kept = {unit for mixer in mixers.values() for unit in reads_of(mixer)}
    for number, mixer in mixers.items():
        unit, places = backbone.units[int(number)], banks[int(number)]
        if unit.output_shape is None:
            raise MtlError(
                f"unit {unit.name!r} of backbone {backbone.name!r} does not return a single tensor "
                "with one row an input, so its columns cannot be mixed"
            )
        _check(mixer, int(number), mixers, len(places[0].copies))
        bank = places[-1]
        if isinstance(mixer, ColumnMixer):
            route_norms(mixer.behind, bank.forward_pass, backbone.normalization, num_tasks)
        keeps = int(number) in kept
        bank.followed_by(
            MixedRows(int(number), mixer, bank.forward_pass, keeps, checkpoint=bank.checkpoint)
        )


def _check(mixer: nn.Module, number: int, mixers: nn.ModuleDict, weights: int) -> None:
    """Refuse a mixer that reads what comes later, or has norms where rows have no path."""
    what = f"the mixer behind unit {number}"
    for unit in reads_of(mixer):
        if unit >= number or str(unit) not in mixers:
            raise MtlError(f"{what} reads unit {unit}, which is no earlier mixed one")
    if len(behind_of(mixer)) not in (0, weights):
        raise MtlError(f"{what} is followed by {len(behind_of(mixer))} modules, not by {weights}")
    if odd := running_layers(mixer):
        raise MtlError(
            f"{what} keeps running statistics in {odd[0] or 'itself'}; such layers go to 'behind' "
            "of a ColumnMixer, where it is known which path a row belongs to"
        )


def plain_mixer(mixer: nn.Module, readers: Sequence[int]) -> nn.Module:
    """Copy a mixer, on the CPU, with plain norms behind it.

    Args:
        mixer: a mixer of networks, or one that is plain already.
        readers: for each weight of the unit, the task whose running averages its norms get.
    """
    copied = copy.deepcopy(mixer).cpu()
    if isinstance(copied, ColumnMixer):
        for weight in range(len(copied.behind)):
            copied.behind[weight] = plain_norms(copied.behind[weight], readers[weight])
    return copied.eval()
