"""What mixing means: no sharing at the identity, no order of tasks, a network worked by hand."""

from dataclasses import replace

import pytest
import torch
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.strategy import cross_stitch_units
from mtl_soft_sharing.unit import CrossStitchUnit
from support.cross_stitch import (
    CLOSE,
    MODELS,
    features,
    features_suite,
    gradients,
    images_suite,
    networks,
)
from support.dense import binary_suite, dense_backbone
from support.makers import make_backbone, make_batch

from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.task_networks import TaskNetworks


def identity(network: ColumnNetworks) -> None:
    for mixer in network.mixers.values():
        assert isinstance(mixer, CrossStitchUnit)
        weight = torch.eye(len(mixer.weight), dtype=torch.float64)
        mixer.weight.data = (
            weight if mixer.weight.ndim == 2 else weight[..., None].expand_as(mixer.weight).clone()
        )


@pytest.mark.parametrize(
    ("kind", "mixing", "common_input"),
    [
        ("features", "scalar", False),
        ("features", "channel", True),
        ("images", "scalar", False),
    ],
)
def test_identity_mixing_is_no_sharing(kind: str, mixing: str, common_input: bool) -> None:
    """Losses, gradients but those of the mixtures, and with averages a task predictions."""
    if kind == "images":
        backbone = make_backbone("resnet18", normalization="task", **MODELS["resnet18"])
        suite = images_suite()
    else:
        backbone, suite = features("task"), features_suite(common_input)
    network = networks(backbone, suite, mixing)
    identity(network)
    plain = TaskNetworks(backbone, suite.tasks, len(suite), group_major=True).double()
    state = {n: v for n, v in network.state_dict().items() if not n.startswith("mixers.")}
    plain.load_state_dict(state)
    batch = make_batch(suite.tasks, common_input=common_input)
    expected = plain.accumulate_gradients(batch, plain.assignment[None])[0]
    torch.testing.assert_close(network.step(batch), expected, **CLOSE)
    wanted = gradients(plain)
    found = {n: g for n, g in gradients(network).items() if not n.startswith("mixers.")}
    assert set(wanted) == set(found)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], **CLOSE)
    network.eval()
    plain.eval()
    for task, inputs in enumerate(batch.inputs):
        torch.testing.assert_close(
            network.predict(task, inputs), plain.predict(task, inputs), **CLOSE
        )


@pytest.mark.parametrize("common_input", [True, False])
def test_permuted_tasks_have_permuted_outputs(common_input: bool) -> None:
    backbone, order = features("shared"), [2, 0, 1]
    suite = features_suite(common_input)
    network = networks(backbone, suite).eval()
    other_suite = Suite("permuted", [suite.tasks[t] for t in order], common_input=common_input)
    other = networks(backbone, other_suite).eval()
    state = network.state_dict()
    for name in state:
        parts = name.split(".")
        if "copies" in parts:
            at = parts.index("copies") + 1
        elif parts[0] == "heads":
            at = 1
        else:
            if parts[0] == "mixers":
                other.get_parameter(name).data = state[name][order][:, order]
            continue
        source = ".".join([*parts[:at], str(order[int(parts[at])]), *parts[at + 1 :]])
        other.state_dict()[name].copy_(state[source])
    inputs = make_batch(suite.tasks).inputs[0]
    for position, task in enumerate(order):
        torch.testing.assert_close(
            other.predict(position, inputs), network.predict(task, inputs), **CLOSE
        )


def test_a_network_of_four_units_worked_by_hand() -> None:
    """Two tasks, two mixed units of one feature each: numbers that a person can follow.

    The stem passes x on. Column A: 2x, then 3x; column B: 5x, then 7x, rectified. After unit one
    a = 0.9 A + 0.1 B, b = 0.2 A + 0.8 B; after unit two the same with 0.7, 0.3, 0.4, 0.6.
    """
    backbone = dense_backbone(1, width=1)
    suite = binary_suite(2, 1)
    units = cross_stitch_units(backbone, [0, 1], 2, 0.9, False)
    network = ColumnNetworks(backbone, suite, units).double()
    for parameter in network.parameters():
        parameter.data.zero_()
    network.model.get_parameter("stem.0.weight").data.fill_(1)
    for unit, values in (("one", (2.0, 5.0)), ("two", (3.0, 7.0))):
        for column, value in enumerate(values):
            name = f"{unit}.copies.{column}.0.weight"
            network.model.get_parameter(name).data.fill_(value)
    mixtures = ([[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.4, 0.6]])
    for mixer, mixture in zip(network.mixers.values(), mixtures, strict=True):
        mixer.get_parameter("weight").data = torch.tensor(mixture, dtype=torch.float64)
    for head in network.heads:
        head.get_parameter("weight").data.fill_(1)
    one = torch.ones(1, 1, dtype=torch.float64)
    # x = 1: A = 2, B = 5; a = 2.3, b = 4.4; 3a = 6.9, 7b = 30.8
    # task A: 0.7 * 6.9 + 0.3 * 30.8 = 14.07; task B: 0.4 * 6.9 + 0.6 * 30.8 = 21.24
    torch.testing.assert_close(network.predict(0, one), 14.07 * one, **CLOSE)
    torch.testing.assert_close(network.predict(1, one), 21.24 * one, **CLOSE)
    # inputs of their own: task A reads 1, task B reads 2
    network.train()
    batch = Batch((one, 2 * one), (torch.tensor([0]), torch.tensor([0])))
    losses = network.step(batch)
    expected = [
        torch.log1p(torch.exp(torch.tensor(v, dtype=torch.float64))) for v in (14.07, 42.48)
    ]
    torch.testing.assert_close(losses, torch.stack(expected), **CLOSE)
    first, second = (mixer.get_parameter("weight").grad for mixer in network.mixers.values())
    assert first is not None
    assert second is not None
    slopes = [
        float(torch.sigmoid(torch.tensor(v, dtype=torch.float64))) / 2 for v in (14.07, 42.48)
    ]
    # equation 1, not the transposed equation 3: dL/da_AB = dL/dx~_A * x_B
    by_hand = [[slopes[0] * 6.9, slopes[0] * 30.8], [slopes[1] * 13.8, slopes[1] * 61.6]]
    torch.testing.assert_close(second, torch.tensor(by_hand, dtype=torch.float64), **CLOSE)
    # through unit two: task A reaches a by 0.7 * 3, b by 0.3 * 7; task B by 0.4 * 3 and 0.6 * 7
    at_a = slopes[0] * 2.1 * 1 + slopes[1] * 1.2 * 2  # times A = 2 or B = 5 a unit of input
    at_b = slopes[0] * 2.1 * 1 + slopes[1] * 4.2 * 2
    by_hand = [[at_a * 2, at_a * 5], [at_b * 2, at_b * 5]]
    torch.testing.assert_close(first, torch.tensor(by_hand, dtype=torch.float64), **CLOSE)


def test_a_unit_starts_convex() -> None:
    weight = CrossStitchUnit(5, 0.8).weight.detach()
    torch.testing.assert_close(weight.sum(1), torch.ones(5))
    assert torch.allclose(weight.diagonal(), torch.tensor(0.8))
    assert torch.allclose(weight[0, 1:], torch.tensor(0.05))
    assert CrossStitchUnit(1, 0.9).weight.tolist() == [[1.0]]
    assert CrossStitchUnit(3, 0.9, 7).weight.shape == (3, 3, 7)


@pytest.mark.parametrize("common_input", [True, False])
def test_a_task_without_labels_leaves_the_others_alone(common_input: bool) -> None:
    """Its column still runs for the others; its own loss and head count for nothing."""
    network = networks(features("shared"), features_suite(common_input))
    batch = make_batch(network.tasks, common_input=common_input)
    whole = network.step(batch)
    network.zero_grad()
    none = torch.zeros(len(batch.inputs[1]), dtype=torch.bool)
    batch = replace(batch, labelled=(None, none, None))
    losses = network.step(batch)
    assert losses[1] == 0
    torch.testing.assert_close(losses[::2], whole[::2], **CLOSE)
    assert all(p.grad is None for p in network.head_parameters(1))
    column = [p.grad for p in network.bank_parameters(0, 1)]
    assert all(g is not None and bool(g.isfinite().all()) for g in column)
