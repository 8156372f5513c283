"""How large adapters are and how much they change, saved with the weights, for reports."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .network import AdapterNetworks
from .preparing import adapted_layers


class AdapterSizes:
    """Sizes of the trunk and of adapters, unit by unit; a part of every checkpoint.

    Args:
        network: the networks that are measured whenever they are saved.
    """

    def __init__(self, network: AdapterNetworks) -> None:
        self._network = network

    def state_dict(self) -> dict[str, Any]:
        """Names of units, parameters of trunk and of one adapter, and what adapters change."""
        network = self._network
        units = len(network.backbone.units)
        common = set(network.trunk_parameters())
        trunk, beside, change = [0] * units, [0] * units, []
        for unit in range(units):
            own = network.bank_parameters(unit, 0)
            trunk[unit] = sum(p.numel() for p in own if p in common)
            beside[unit] = sum(p.numel() for p in own if p not in common)
            counts = network.weights_per_unit[unit]
            change.append([relative_change(network, unit, weight) for weight in range(counts)])
        names = [unit.name for unit in network.backbone.units]
        return {"units": names, "trunk": trunk, "beside": beside, "change": change}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Leave all as it is: sizes are measured, not restored."""


@torch.no_grad()
def relative_change(network: AdapterNetworks, unit: int, weight: int) -> float:
    """Norm of what the adapters of a unit add to the weights beside them, relative to theirs.

    Frobenius norms over all adapted layers of one copy of the unit; 0 where there are none.
    """
    added, there = 0.0, 0.0
    for bank in network.banks():
        if bank.unit != unit:
            continue
        for layer in adapted_layers(bank.copies[weight]).values():
            trunk = _weight(layer.layer)
            added += float((layer.merged(0)["weight"] - trunk).square().sum())
            there += float(trunk.square().sum())
    return (added / there) ** 0.5 if there else 0.0


def _weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")
