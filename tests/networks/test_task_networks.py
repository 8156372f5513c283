"""The routed pass against the oracle: losses, gradients, running statistics."""

from typing import Any

import pytest
import torch
from support.makers import make_assignments, make_backbone, make_batch, make_tasks
from torch import Tensor

from mtl_framework.data.batches import Batch
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.testing.oracle import Oracle

TOLERANCE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}


def close(name: str, found: Tensor, expected: object) -> None:
    """The two agree; where not, the message has the name."""
    torch.testing.assert_close(found, expected, **TOLERANCE, msg=lambda text: f"{name}: {text}")


BACKBONES: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "mobilenetv3_small_050": {},
    "vit_tiny_patch16_224": {"args": {"depth": 3}},
    "convnext_atto": {"args": {"depths": (1, 2, 1, 1)}},
    "swin_tiny_patch4_window7_224": {
        "args": {"depths": (1, 1, 2, 1), "embed_dim": 24, "drop_path_rate": 0.0}  # on by default
    },
    "cait_xxs24_224": {"args": {"depth": 3}},
    "hrnet_w18_small": {},
    "tnt_s_legacy_patch16_224": {"args": {"depth": 1}},  # rows x patches
    "coat_tiny": {"args": {"serial_depths": (1, 1, 1, 1), "parallel_depth": 1}},  # tied modules
    "resnetv2_18": {
        "args": {"channels": (16, 24, 32, 40), "layers": (1, 2, 1, 1)}
    },  # a convolution as classifier
    "deit_tiny_distilled_patch16_224": {"args": {"depth": 2}},  # two classifiers, averaged
    "crossvit_tiny_240": {"args": {"depth": ((1, 1, 0),)}},  # several streams and classifiers
    "levit_128s": {"args": {"depth": (1, 1, 1)}},  # batch norm over tokens; layers of its own
    "pit_ti_224": {"args": {"depth": (1, 2, 1)}},  # no matcher; tuples between blocks
    "dla46_c": {},  # trees
}
NARROW = {"args": {"channels": (16, 24, 32, 40)}}  # for a ResNet: the same in less time
LONG = {"resnet18", "hrnet_w18_small", "coat_tiny", "crossvit_tiny_240", "levit_128s", "dla46_c"}
SIZES = {"coat_tiny": 64, "crossvit_tiny_240": 240, "levit_128s": 224, "dla46_c": 64}


def networks(
    name: str, normalization: str, weights: int = 3, training: bool = True, **options: Any
) -> TaskNetworks:
    torch.manual_seed(1)
    size = SIZES.get(name, 32)
    settings = options.pop("settings", None) or BACKBONES[name]
    backbone = make_backbone(name, size, normalization=normalization, **settings)
    tasks = make_tasks(shape=(3, size, size))
    network = TaskNetworks(backbone, tasks, weights, **options).double().train(training)
    for module in network.modules():  # running averages that differ from weight to weight
        for key in ("running_mean", "running_var"):
            value = getattr(module, key, None)
            if isinstance(value, Tensor):
                value.add_(torch.rand_like(value))
    return network


def compare(network: TaskNetworks, batch: Any, assignments: Tensor, training: bool = True) -> None:
    torch.manual_seed(3)
    weights = torch.rand(len(assignments), len(network.tasks), dtype=torch.float64)
    expected = Oracle(network).step(batch, assignments, weights, training)
    if training:
        losses = network.accumulate_gradients(batch, assignments, weights)
        gradients = {
            name: p.grad
            for name, p in network.named_parameters(remove_duplicate=False)
            if p.grad is not None
        }
        used = {name for name, g in expected.gradients.items() if g is not None}
        # a weight behind the last map, on paths of tasks with maps alone, may get zeros
        idle = {n for n in set(gradients) - used if any(network.maps) and not gradients[n].any()}
        assert used == set(gradients) - idle
        for name in used:
            close(name, gradients[name], expected.gradients[name])
    else:
        with torch.no_grad():
            losses = network.losses(batch, assignments)
    torch.testing.assert_close(losses, expected.losses, **TOLERANCE)
    for name, buffer in network.named_buffers():
        if name != "assignment":
            close(name, buffer, expected.buffers[name])


@pytest.mark.parametrize("branching", [True, pytest.param(False, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] if n in LONG else []) for n in BACKBONES]
)
def test_every_backbone_agrees_with_the_loops(name: str, branching: bool) -> None:
    network = networks(name, "shared", branching=branching and None, group_major=branching)
    units, tasks = len(network.weights_per_unit), len(network.tasks)
    # four images: statistics over two values would amplify rounding
    compare(network, make_batch(network.tasks), make_assignments("random", 3, units, tasks, 3))


@pytest.mark.parametrize("kind", ["random", "equal", "repeated", "different"])
@pytest.mark.parametrize("branching", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
@pytest.mark.parametrize("group_major", [True, pytest.param(False, marks=pytest.mark.long)])
def test_modes_and_plans_agree_with_the_loops(
    normalization: str, branching: bool, kind: str, group_major: bool
) -> None:
    network = networks(
        "resnet18", normalization, settings=NARROW, branching=branching, group_major=group_major
    )
    batch = make_batch(network.tasks)
    compare(network, batch, make_assignments(kind, 4, 8, 3, 3))


@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
def test_evaluation_agrees_with_the_loops(normalization: str) -> None:
    network = networks("resnet18", normalization, settings=NARROW, training=False)
    compare(network, make_batch(network.tasks), make_assignments("random", 4, 8, 3, 3), False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
def test_a_common_input_agrees_with_the_loops(normalization: str, training: bool) -> None:
    network = networks("resnet18", normalization, settings=NARROW, training=training)
    batch = make_batch(network.tasks, common_input=True)
    compare(network, batch, make_assignments("repeated", 4, 8, 3, 3), training)


@pytest.mark.parametrize("normalization", ["shared", "task"])
def test_unequal_batch_sizes_agree_with_the_loops(normalization: str) -> None:
    network = networks("resnet18", normalization, settings=NARROW)
    batch = make_batch(network.tasks, sizes=(2, 5, 2))
    compare(network, batch, make_assignments("random", 4, 8, 3, 3))


@pytest.mark.parametrize("branching", [True, False])
@pytest.mark.parametrize("common_input", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
def test_missing_labels_agree_with_the_loops(
    normalization: str, common_input: bool, branching: bool
) -> None:
    """One task has half its labels, one none at all, one all; the missing ones are poison."""
    network = networks("resnet18", normalization, settings=NARROW, branching=branching)
    full = make_batch(network.tasks, common_input=common_input)
    some = torch.tensor([True, False, False, True])
    none = torch.zeros(4, dtype=torch.bool)
    targets = (full.targets[0].where(some, -(10**6)), torch.full((4,), 10**6), full.targets[2])
    batch = Batch(full.inputs, targets, common_input, labelled=(some, none, None))
    compare(network, batch, make_assignments("random", 4, 8, 3, 3))


@pytest.mark.parametrize("name", ["resnet18", "deit_tiny_distilled_patch16_224"])
def test_a_task_without_labels_in_a_batch_is_left_untouched(name: str) -> None:
    network = networks(name, "shared")
    units = len(network.weights_per_unit)
    full = make_batch(network.tasks)
    none = torch.zeros(4, dtype=torch.bool)
    targets = (full.targets[0], torch.full((4,), 10**6), full.targets[2])
    batch = Batch(full.inputs, targets, labelled=(None, none, None))
    own = torch.arange(3).expand(1, units, 3)
    before = {name: b.clone() for name, b in network.named_buffers() if ".copies.1." in name}
    losses = network.accumulate_gradients(batch, own)
    assert losses[0, 1] == 0
    assert losses[0, [0, 2]].all()
    for unit in range(units):
        assert all(p.grad is None for p in network.bank_parameters(unit, 1))
        assert all(p.grad is not None for p in network.bank_parameters(unit, 0))
    assert all(p.grad is None for p in network.head_parameters(1))
    for name, buffer in network.named_buffers():
        if name in before:
            assert torch.equal(buffer, before[name])


def test_a_batch_without_any_label_does_nothing() -> None:
    network = networks("resnet18", "shared", settings=NARROW)
    full = make_batch(network.tasks)
    none = torch.zeros(4, dtype=torch.bool)
    batch = Batch(full.inputs, full.targets, labelled=(none, none, none))
    losses = network.accumulate_gradients(batch, torch.zeros(2, 8, 3, dtype=torch.int64))
    assert not losses.any()
    assert all(p.grad is None for p in network.parameters())


def test_stages_of_one_block_agree_with_the_loops_where_rows_are_pooled() -> None:
    """The oracle walks through the model's modules by name, and a stage is one place here."""
    settings = {"args": {"channels": (8, 12, 16, 20), "layers": (1, 1, 1, 1)}}
    network = networks("resnet18", "pooled", settings=settings)
    units = len(network.weights_per_unit)
    compare(network, make_batch(network.tasks), make_assignments("random", 2, units, 3, 3))
