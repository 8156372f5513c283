"""Feature maps through the routed pass, against the oracle; heads of maps; extraction."""

import dataclasses
from typing import Any

import pytest
import torch
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.strategy import cross_stitch_units
from support.dense_tasks import dense_batch, dense_tasks
from support.makers import make_assignments, make_backbone
from test_task_networks import compare
from torch import Tensor

from mtl_framework.backbones.maps import find_maps, pyramid
from mtl_framework.data.batches import Batch
from mtl_framework.data.head_choice import AuxiliaryHead, HeadChoice
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.decoders.choices import fcn, fpn
from mtl_framework.networks.dense import head_bytes
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.support.errors import MtlError

BACKBONES: dict[str, dict[str, Any]] = {
    "resnet18": {"args": {"channels": (8, 16, 24, 32)}},
    "convnext_atto": {"args": {"depths": (1, 2, 1, 1), "dims": (8, 16, 24, 32)}},
    "swin_tiny_patch4_window7_224": {
        "args": {"depths": (1, 1, 2, 1), "embed_dim": 24, "drop_path_rate": 0.0}
    },
    "vit_tiny_patch16_224": {"args": {"depth": 5, "embed_dim": 48}},
    "mobilenetv2_050": {},  # a batch norm behind the last map
}
OTHERS = ("convnext_atto", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224")
PLANS = [
    *((name, True) for name in BACKBONES),
    ("resnet18", False),
    ("swin_tiny_patch4_window7_224", False),
    *(pytest.param(name, False, marks=pytest.mark.long) for name in (OTHERS[0], OTHERS[2])),
]
MODES = [
    *(("resnet18", normalization) for normalization in ("shared", "task", "pooled")),
    *(pytest.param(name, "shared", marks=pytest.mark.long) for name in OTHERS),  # no batch norm
]
KINDS = ("segmentation", "depth", "count")
SIZE = 64


def networks(
    name: str, normalization: str = "shared", training: bool = True, **options: Any
) -> TaskNetworks:
    torch.manual_seed(1)
    kinds = options.pop("kinds", KINDS)
    backbone = make_backbone(name, SIZE, normalization=normalization, **BACKBONES[name])
    network = TaskNetworks(backbone, dense_tasks(kinds, SIZE), 3, **options)
    for module in network.modules():
        for key in ("running_mean", "running_var"):
            value = getattr(module, key, None)
            if isinstance(value, Tensor):
                value.add_(torch.rand_like(value))
    return network.double().train(training)


def assigned(network: TaskNetworks, kind: str = "random", samples: int = 3) -> Tensor:
    return make_assignments(kind, samples, len(network.weights_per_unit), len(network.tasks), 3)


@pytest.mark.parametrize(("name", "branching"), PLANS)
def test_every_kind_of_backbone_agrees_with_the_loops(name: str, branching: bool) -> None:
    network = networks(name, branching=branching and None, group_major=branching)
    compare(network, dense_batch(network.tasks), assigned(network, samples=2))


@pytest.mark.parametrize(("group_major", "kind"), [(True, "repeated"), (False, "different")])
@pytest.mark.parametrize(("name", "normalization"), MODES)
def test_modes_agree_with_the_loops(
    name: str, normalization: str, group_major: bool, kind: str
) -> None:
    network = networks(name, normalization, group_major=group_major)
    network.memory_budget = 4  # cut into micro-batches
    batch = dense_batch(network.tasks)
    if normalization != "pooled":
        assert len(network.plan(batch, assigned(network, kind, 4)).micro_batches) > 1
    compare(network, batch, assigned(network, kind, 4))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
def test_a_common_input_agrees_with_the_loops(normalization: str, training: bool) -> None:
    network = networks("resnet18", normalization, training)
    batch = dense_batch(network.tasks, common_input=True)
    compare(network, batch, assigned(network, "repeated", 4), training)


def test_missing_labels_of_tasks_and_of_pixels_agree_with_the_loops() -> None:
    network = networks("resnet18", kinds=("segmentation", "normals", "edges", "count"))
    batch = dense_batch(network.tasks, common_input=True)
    masks = torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    batch = dataclasses.replace(batch, labelled=tuple(masks))
    compare(network, batch, assigned(network))


def test_a_transformer_of_one_block_agrees_with_the_loops() -> None:
    args = {"depth": 1, "embed_dim": 48}
    backbone = make_backbone("vit_tiny_patch16_224", SIZE, args=args)
    torch.manual_seed(1)
    network = TaskNetworks(backbone, dense_tasks(KINDS, SIZE), 3).double()
    compare(network, dense_batch(network.tasks), assigned(network, samples=2))
    extracted, inputs = network.eval().extract(0), dense_batch(network.tasks).inputs[0]
    torch.testing.assert_close(network.predict(0, inputs), extracted(inputs), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_auxiliary_heads_agree_with_the_loops_and_are_not_deployed(name: str) -> None:
    head = HeadChoice("fpn", fpn, {"width": 16})
    extra = AuxiliaryHead(HeadChoice("fcn", fcn, {"width": 8, "depth": 1}), 0.3)
    with_extra = dense_tasks(KINDS, SIZE, head=dataclasses.replace(head, auxiliary=extra))
    backbone = make_backbone(name, SIZE, **BACKBONES[name])
    torch.manual_seed(1)
    network = TaskNetworks(backbone, with_extra, 2).double()
    alone = TaskNetworks(backbone, dense_tasks(KINDS, SIZE), 2).double()
    batch, given = dense_batch(network.tasks, common_input=True), assigned(network).clamp(max=1)
    masks = torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]]).bool()
    compare(network, dataclasses.replace(batch, labelled=tuple(masks)), given)
    compare(network.eval(), batch, given, training=False)  # the loss of the task alone
    counts, plain = network.parameter_counts(), alone.parameter_counts()
    assert counts.deployed == plain.deployed
    extra_numbers = sum(p.numel() for n, p in network.named_parameters() if "auxiliary" in n)
    assert counts.trained == plain.trained + extra_numbers > plain.trained
    extracted = network.extract(0)
    assert not any("auxiliary" in key for key in extracted.state_dict())
    inputs = batch.inputs[0]
    torch.testing.assert_close(network.predict(0, inputs), extracted(inputs), rtol=0, atol=1e-12)
    network.load_path(0, [0] * len(backbone.units), alone.extract(0).state_dict())
    network.assignment.zero_()
    torch.testing.assert_close(network.predict(0, inputs), alone.eval().predict(0, inputs))
    assert head_bytes(network.heads[0], network.maps[0]) > head_bytes(alone.heads[0], alone.maps[0])


def test_tasks_that_share_a_head_agree_with_the_loops() -> None:
    depth, labels, count = dense_tasks(("depth", "segmentation", "count"), SIZE)
    again = dataclasses.replace(depth, name="depth 2", head_of="depth")
    more = dataclasses.replace(count, name="count 2", head_of="count")
    tasks = [depth, labels, again, count, more]
    backbone = make_backbone("resnet18", SIZE, **BACKBONES["resnet18"])
    torch.manual_seed(1)
    network = TaskNetworks(backbone, tasks, 3).double()
    compare(network, dense_batch(tasks), assigned(network))
    heads = network.heads
    assert heads[0] is heads[2] is not heads[1]
    assert heads[3] is heads[4]
    counts = network.parameter_counts()
    own = TaskNetworks(backbone, [dataclasses.replace(t, head_of=None) for t in tasks], 3)
    saved = sum(p.numel() for n in (2, 4) for p in own.heads[n].parameters())
    assert own.parameter_counts().deployed - counts.deployed == saved > 0
    network.zero_grad()
    network.accumulate_gradients(dense_batch(tasks), assigned(network))
    before = [next(heads[n].parameters()).grad.clone() for n in (0, 1)]  # type: ignore[union-attr]
    network.scale_gradients_by_usage(torch.zeros(len(backbone.units), 3))
    after = [next(heads[n].parameters()).grad for n in (0, 1)]
    torch.testing.assert_close(after[0], before[0] * 5 / 2)
    torch.testing.assert_close(after[1], before[1] * 5)
    network.eval()
    inputs = dense_batch(tasks).inputs[0]
    predicted = network.predict(2, inputs)
    torch.testing.assert_close(predicted, network.extract(2)(inputs), rtol=0, atol=1e-12)
    wrong = dataclasses.replace(labels, head_of="depth")
    with pytest.raises(MtlError, match="'depth' and 'segmentation' cannot share a head"):
        TaskNetworks(backbone, [depth, wrong], 1)
    with pytest.raises(MtlError, match="has the head of 'depth 2', no earlier task"):
        TaskNetworks(backbone, [dataclasses.replace(depth, head_of="depth 2"), again], 1)


@pytest.mark.long
def test_only_maps_agree_with_the_loops() -> None:
    network = networks("mobilenetv2_050", kinds=("segmentation", "depth"))
    compare(network, dense_batch(network.tasks), assigned(network))


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_predictions_agree_with_extracted_networks(name: str) -> None:
    network = networks(name, training=False)
    network.assignment.copy_(assigned(network)[0])
    inputs = dense_batch(network.tasks).inputs[0]
    together = network.predict_all(inputs)
    for task in range(len(network.tasks)):
        predicted = network.predict(task, inputs)
        torch.testing.assert_close(predicted, network.extract(task)(inputs), rtol=0, atol=1e-12)
        torch.testing.assert_close(predicted, together[task], rtol=0, atol=1e-12)
    assert predicted.shape == (4, 3)
    assert together[0].shape == (4, 4, SIZE, SIZE)


def test_an_extracted_state_is_taken_over() -> None:
    network, other = networks("convnext_atto", training=False), networks("convnext_atto")
    path, units = [2] * len(network.weights_per_unit), len(network.weights_per_unit)
    state = network.extract_path(0, [1] * units).state_dict()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_path(0, path, state)
    inputs = dense_batch(network.tasks).inputs[0]
    expected = network.extract_path(0, [1] * units)(inputs)
    assert torch.equal(other.eval().extract_path(0, path)(inputs), expected)


def test_maps_and_pyramids() -> None:
    resnet = find_maps(make_backbone("resnet18", 64))[0]
    assert [(m.level, m.channels, m.size, m.stride) for m in resnet] == [
        (0, 64, (32, 32), 2), (2, 64, (16, 16), 4), (4, 128, (8, 8), 8), (6, 256, (4, 4), 16),
        (8, 512, (2, 2), 32),
    ]  # fmt: skip
    assert [m.stride for m in pyramid(resnet)] == [4, 8, 16, 32]
    plain = find_maps(make_backbone("vit_tiny_patch16_224", 64))[0]
    assert [m.level for m in plain] == list(range(1, 13))
    assert all(m.tokens for m in plain)
    assert [m.index for m in pyramid(plain)] == [2, 5, 8, 11]
    args = {"depth": 1, "embed_dim": 48}
    one = find_maps(make_backbone("vit_tiny_patch16_224", 64, args=args))
    assert [(m.level, m.size) for m in one[0]] == [(1, (4, 4))], one[1]


def test_a_map_inside_a_unit_belongs_to_its_paths() -> None:
    whole = find_maps(make_backbone("convnext_atto", 64, granularity="stage"))[0]
    assert [m.level for m in whole] == [1, 2, 3, 4]


def test_backbones_without_maps_say_so() -> None:
    distilled = make_backbone("deit_tiny_distilled_patch16_224", 32, args={"depth": 1})
    with pytest.raises(MtlError, match="does more with class scores"):
        TaskNetworks(distilled, dense_tasks(("depth", "count"), 32), 2)
    with pytest.raises(MtlError, match=r"'seg\w+' is learned from feature maps.*gives none: "):
        TaskNetworks(
            make_backbone("crossvit_tiny_240", 240, args={"depth": ((1, 1, 0),)}),
            dense_tasks(size=240),
            2,
        )


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_columns_that_are_mixed_give_maps(name: str) -> None:
    backbone = make_backbone(name, SIZE, **BACKBONES[name])
    tasks = dense_tasks(("segmentation", "depth", "count"), SIZE)
    suite = Suite("scenes", tasks, common_input=True)
    torch.manual_seed(0)
    units = len(backbone.units)
    mixers = cross_stitch_units(backbone, range(1, units - 2), 3, 0.7, False)
    network = ColumnNetworks(backbone, suite, mixers).double().eval()
    inputs = dense_batch(tasks).inputs[0]
    for task in range(3):
        predicted = network.predict(task, inputs)
        torch.testing.assert_close(predicted, network.extract(task)(inputs), rtol=0, atol=1e-12)
    batch = dense_batch(tasks, common_input=True)
    network.train()
    losses = network.step(batch)
    assert bool(torch.isfinite(losses).all())


def parts(network: TaskNetworks, batch: Batch, given: Tensor, budget: int) -> int:
    """Number of micro-batches of a step within a budget."""
    network.memory_budget = budget
    return len(network.plan(batch, given).micro_batches)


def test_budgets_count_maps_and_heads() -> None:
    """A budget that holds the backbone alone, but not the heads, cuts the step."""
    network = networks("resnet18", kinds=("segmentation", "depth"))
    batch, given = dense_batch(network.tasks), assigned(network)
    units = sum(network.planner._activation_bytes)
    heads = sum(network.planner._head_bytes)
    assert heads > units / 4
    fits = next(n for n in range(1, 200) if parts(network, batch, given, n) == 1)
    network.planner._maps = ()
    network.planner._kept.clear()
    assert parts(network, batch, given, fits - 1) == 1
