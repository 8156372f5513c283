"""Suites and backbones by name, in Python."""

import pytest
import torch
from torch import nn

from mtl_framework import ModuleBackbone, MtlError, TaskNetworks, load_backbone, load_suite


def test_names_are_those_of_the_command_line() -> None:
    suite = load_suite("digits", size=12)
    assert suite.input_shape == (1, 12, 12)
    backbone = load_backbone("resnet18", suite, args={"channels": [4, 4, 4, 4]}, shared=[])
    assert backbone.input_shape == (1, 12, 12)
    assert TaskNetworks(backbone, suite.tasks, 2).assignment.shape[1] == len(suite)


def test_a_module_is_a_backbone_as_well() -> None:
    suite = load_suite("digits", size=12)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 3))
    named = load_backbone(ModuleBackbone(layers, ["1"], name="mine"), suite)
    assert [unit.name for unit in named.units] == ["1"]
    network = TaskNetworks(named, suite.tasks, 2)
    assert network.predict(0, torch.rand(5, 1, 12, 12)).shape[0] == 5
    with pytest.raises(MtlError, match="declares no units"):
        load_backbone(layers, suite)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet81"}, "unknown backbone 'resnet81'"),
        ({"name": "resnet18", "granularty": "stage"}, "granularity"),
        ({"name": "resnet18", "granularity": "layer"}, "backbone.granularity"),
    ],
)
def test_wrong_names_and_options_are_named(options: dict[str, str], message: str) -> None:
    suite = load_suite("digits", size=12)
    with pytest.raises(MtlError, match=message):
        load_backbone(options.pop("name"), suite, **options)


def test_suites_check_their_options() -> None:
    with pytest.raises(MtlError, match="unknown suite 'digts'"):
        load_suite("digts")
    with pytest.raises(MtlError, match=r"suite\.sizes"):
        load_suite("digits", sizes=12)
    with pytest.raises(MtlError, match="backbones of their own"):
        load_backbone("resnet18", load_suite("three_modalities"))
