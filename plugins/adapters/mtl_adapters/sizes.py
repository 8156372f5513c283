"""Checkpoints say how large adapters are and how much they change, for the figures of reports."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .network import AdapterNetworks
from .preparing import adapted_layers


class AdapterSizes:
    """This part of every checkpoint holds the sizes of the trunk and of adapters, unit by unit.

    Args:
        network: the networks, which are measured anew at every checkpoint.
    """

    def __init__(self, network: AdapterNetworks) -> None:
        self._network = network

    def state_dict(self) -> dict[str, Any]:
        """Return names and sizes of the units, and how much adapters change.

        Returns:
            ``units``: name of every unit; ``trunk``: number of the unit's parameters in the trunk;
            ``plain``: number of those of the unit as it is without adapters, norms among them that
            are each adapter's own; ``beside``: number of parameters of one adapter of the unit;
            ``change``: for every unit, :func:`relative_change` of each of its adapters.
        """
        network = self._network
        trunk, beside = self.by_unit()
        change = [
            [relative_change(network, unit, weight) for weight in range(count)]
            for unit, count in enumerate(network.weights_per_unit)
        ]
        names = [unit.name for unit in network.backbone.units]
        plain = [unit.num_parameters for unit in network.backbone.units]
        return {
            "units": names, "trunk": trunk, "plain": plain, "beside": beside, "change": change,
        }  # fmt: skip

    def by_unit(self) -> tuple[list[int], list[int]]:
        """Count parameters of every unit: the trunk's, and those of one of the unit's adapters."""
        common = set(self._network.trunk_parameters())
        trunk, beside = [], []
        for unit in range(len(self._network.backbone.units)):
            own = self._network.bank_parameters(unit, 0)
            trunk.append(sum(p.numel() for p in own if p in common))
            beside.append(sum(p.numel() for p in own if p not in common))
        return trunk, beside

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Do nothing, because sizes are measured from the network and need not be restored."""


@torch.no_grad()
def relative_change(network: AdapterNetworks, unit: int, weight: int) -> float:
    """Return how much the adapters of a unit change the weights of its layers.

    This is the Frobenius norm of what the adapters add, over all adapted layers of one copy of the
    unit, divided by the norm of the trunk's weights of these layers; 0 where no layer is adapted.

    Args:
        network: the networks.
        unit: position of the unit.
        weight: number of the copy, from 0.
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
