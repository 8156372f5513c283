"""Units whose own weights are mixed: against plain loops, as one-hot shares, taken out."""

from typing import Any

import pytest
import torch
from support.makers import make_backbone, make_batch, make_tasks, stirred
from support.order_loops import CLOSE, compare
from torch import Tensor, nn

from mtl_framework import MixtureNetworks, TaskNetworks
from mtl_framework.networks.mixture_networks import MixedLayers

MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {"args": {"layers": (1, 1, 1, 1), "channels": (8, 8, 12, 16)}},
    "convnext_atto": {"args": {"depths": (1, 1, 1, 1), "dims": (8, 12, 16, 20)}},
    "vit_tiny_patch16_224": {"args": {"depth": 2, "embed_dim": 24}},
}


class Shares(nn.Module):
    """A softmax of logits (tasks, weights)."""

    def __init__(self, tasks: int, weights: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(tasks, weights))

    def forward(self) -> Tensor:
        return self.logits.softmax(1)


def mixed(name: str, mode: str, units: range, batched: bool = True) -> MixtureNetworks:
    """Two tasks and three weights of some units, in float64; nothing is as it starts."""
    torch.manual_seed(1)
    backbone = make_backbone(name, normalization=mode, **MODELS[name])
    numbers = [3 if unit in units else 1 for unit in range(len(backbone.units))]
    network = MixtureNetworks(
        backbone,
        make_tasks((2, 3)),
        numbers,
        pools=[],
        shares=[],
        mixed={unit: Shares(2, 3) for unit in units},
        batched=batched,
    ).double()
    stirred(network, lambda name, value: 1.0 if "logits" in name else 0.3 * ("running" in name))
    return network


@pytest.mark.parametrize(
    ("name", "mode", "batched"),
    [
        ("resnet18", "task", False),
        ("resnet18", "shared", True),
        ("convnext_atto", "shared", False),
        ("vit_tiny_patch16_224", "shared", True),
    ],
)
def test_every_kind_of_model_agrees_with_the_loops(name: str, mode: str, batched: bool) -> None:
    """Losses, gradients, averages, predictions; units in two places have one share for both."""
    units = range(1, 3) if name == "convnext_atto" else range(2)
    network = mixed(name, mode, units, batched)
    compare(network, make_batch(network.tasks))
    alone = network.extract(1)
    places = sum(len(network.backbone.places[unit]) for unit in units)
    assert sum(isinstance(module, MixedLayers) for module in alone.modules()) == places
    counts = network.parameter_counts()
    assert counts.trained == counts.deployed == sum(p.numel() for p in network.parameters())


def test_shares_of_one_are_an_assignment() -> None:
    network = mixed("resnet18", "task", range(4)).eval()
    plain = TaskNetworks(network.backbone, network.tasks, 3).double().eval()
    state = {key: value for key, value in network.state_dict().items() if "mixed" not in key}
    plain.load_state_dict(state)
    routes = torch.tensor([[0, 1], [2, 2], [1, 0], [0, 2]])
    plain.assignment.copy_(routes)
    for unit, row in enumerate(routes):
        logits = torch.full((2, 3), -torch.inf, dtype=torch.float64)
        logits[torch.arange(2), row] = 0
        network.mixed[str(unit)].get_parameter("logits").data = logits
    for task, inputs in enumerate(make_batch(network.tasks).inputs):
        torch.testing.assert_close(
            network.predict(task, inputs), plain.predict(task, inputs), **CLOSE
        )
