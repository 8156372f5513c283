"""Routed batch norms by themselves: layouts, tied layers, refusals."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.makers import make_batch, make_tasks
from support.norm_networks import Stem
from support.typed import child
from timm.layers.evo_norm import EvoNorm2dB0
from timm.layers.norm_act import BatchNormAct2d, FrozenBatchNormAct2d
from torch import Tensor, nn

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.batches import Batch
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.routing.commit import commit_statistics
from mtl_framework.routing.forward_pass import ForwardPass
from mtl_framework.routing.layout import RowLayout
from mtl_framework.routing.norms import RoutedBatchNorm
from mtl_framework.routing.plan import PlanOptions, RouteError, RoutePlan
from mtl_framework.routing.replace_norms import route_norms
from mtl_framework.routing.statistics_schedule import Normalization, StepOrder
from mtl_framework.support.errors import MtlError


def make_plan(
    tasks: int, examples: int, mode: Normalization = "shared", group_major: bool = False
) -> RoutePlan:
    order = StepOrder(np.zeros((1, 1, tasks), dtype=np.int64), mode)
    return RoutePlan(
        order,
        [0],
        range(tasks),
        examples,
        PlanOptions(torch.device("cpu"), group_major=group_major),
    )


LAYERS = {
    "images": (nn.BatchNorm2d(3), (3, 5, 5), 1),
    "sequences": (nn.BatchNorm1d(3), (3, 7), 1),
    "vectors": (nn.BatchNorm1d(3), (3,), 1),
    "tokens": (nn.BatchNorm1d(3), (3,), 6),  # (rows x tokens, C), as LeViT has it
    "patches": (nn.BatchNorm2d(3), (3, 4, 4), 5),
    "volumes": (nn.BatchNorm3d(3), (3, 2, 4, 4), 1),
    "with activation": (BatchNormAct2d(3), (3, 5, 5), 1),
    "synchronised": (nn.SyncBatchNorm(3), (3, 5, 5), 1),
    "without weights": (nn.BatchNorm2d(3, affine=False), (3, 5, 5), 1),
    "untracked": (nn.BatchNorm2d(3, track_running_stats=False), (3, 5, 5), 1),
}


@pytest.mark.parametrize("group_major", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layout_normalises_path_by_path(
    name: str, momentum: float | None, training: bool, group_major: bool
) -> None:
    layer, shape, inner = LAYERS[name]
    tasks, examples = 4, 3
    torch.manual_seed(0)
    plain = type(layer)(
        3, affine=layer.affine, track_running_stats=layer.track_running_stats
    ).double()
    if isinstance(plain, nn.SyncBatchNorm):
        plain = nn.BatchNorm2d(3).double()
    for p in plain.parameters():
        nn.init.normal_(p)
    plain.momentum = momentum
    forward_pass = ForwardPass()
    copy = type(layer)(3, affine=layer.affine, track_running_stats=layer.track_running_stats)
    copy.double().load_state_dict(plain.state_dict())
    copy.momentum = momentum
    routed = RoutedBatchNorm(copy, forward_pass, "shared", tasks).train(training)
    plain.train(training)
    x = torch.randn(examples, tasks, inner, *shape, dtype=torch.float64)
    expected = torch.stack([plain(x[:, t].flatten(0, 1)) for t in range(tasks)], 1)
    layout = RowLayout(examples, tasks, group_major)
    plan = make_plan(tasks, examples, group_major=group_major)
    with forward_pass.running(plan, gather_statistics=training):
        found = routed(layout.join_first(x))
    commit_statistics([routed])
    found = layout.split_first(found)
    expected = expected.view(examples, inner, tasks, *shape).transpose(1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for key, buffer in plain.named_buffers():
        torch.testing.assert_close(getattr(routed, key), buffer, rtol=1e-12, atol=1e-12)


class Tokens(nn.Module):
    """A unit that flattens (rows, tokens, C) for its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.linear(x).flatten(0, 1))
        return x + y.view_as(x)


class TokenModel(nn.Module):
    def __init__(self, num_classes: int, in_chans: int, img_size: object = None) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Tokens(), Tokens())
        self.head = nn.Linear(4, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {"one": ["blocks.0"], "two": ["blocks.1"]}

    def get_classifier(self) -> nn.Linear:
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.blocks(x).mean(1))
        return y


@pytest.mark.parametrize("mode", ["shared", "task", "pooled"])
def test_flattened_tokens_inside_a_unit(mode: Normalization) -> None:
    """Each task alone gives the same losses as all together (they use their own weights)."""
    config = BackboneConfig(name="tokens", normalization=mode)
    backbone = build_backbone(config, 6, None, TokenModel, input_shape=(6, 4))
    tasks = make_tasks(shape=(6, 4))
    torch.manual_seed(0)
    network = TaskNetworks(backbone, tasks, 3).double()
    x = [torch.randn(5, 6, 4, dtype=torch.float64) for _ in tasks]
    y = [torch.zeros(5, dtype=torch.int64) for _ in tasks]
    own = torch.arange(3).expand(1, 2, 3)
    losses = network.losses(Batch(tuple(x), tuple(y)), own)
    for task in range(3):
        alone = network.losses(Batch((x[task],) * 3, (y[task],) * 3), torch.full((1, 2, 3), task))
        torch.testing.assert_close(alone[0, task], losses[0, task], rtol=1e-12, atol=1e-12)


def test_tied_layers_stay_tied() -> None:
    norm = nn.BatchNorm2d(3)
    model = nn.Sequential(norm, nn.Sequential(norm))
    route_norms(model, ForwardPass(), "shared", 2)
    assert model[0] is child(model, 1, 0)
    assert isinstance(model[0], RoutedBatchNorm)


def test_layers_whose_statistics_are_fixed_stay_as_they_are() -> None:
    model = nn.Sequential(FrozenBatchNormAct2d(3), nn.LayerNorm(3), nn.GroupNorm(1, 3))
    before = list(model)
    assert list(route_norms(model, ForwardPass(), "task", 2)) == before  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (EvoNorm2dB0(4), "EvoNorm2dB0 keeps running statistics"),
        (nn.InstanceNorm2d(4, track_running_stats=True), "InstanceNorm2d keeps"),
    ],
)
def test_other_running_statistics_are_refused_by_name(layer: nn.Module, reason: str) -> None:
    with pytest.raises(MtlError, match=reason):
        route_norms(nn.Sequential(layer), ForwardPass(), "shared", 2)


def test_task_statistics_have_a_row_for_every_task() -> None:
    routed = RoutedBatchNorm(nn.BatchNorm2d(5), ForwardPass(), "task", 3)
    assert routed.state_dict()["running_mean"].shape == (3, 5)
    assert routed.state_dict()["num_batches_tracked"].shape == (3,)
    assert routed.plain_buffer("running_var", 1).shape == (5,)


def test_rows_that_do_not_fit_the_paths_are_an_error() -> None:
    forward_pass = ForwardPass()
    routed = RoutedBatchNorm(nn.BatchNorm2d(3), forward_pass, "shared", 2)
    with forward_pass.running(make_plan(2, 3), True), pytest.raises(RouteError, match="7 rows"):
        routed(torch.randn(7, 3, 2, 2))
    with pytest.raises(RouteError, match="outside a pass"):
        routed(torch.randn(6, 3, 2, 2))


COMPILED = """
import sys
import torch
from torch import nn
from routing.test_norms import make_plan
from mtl_framework.routing.forward_pass import ForwardPass
from mtl_framework.routing.norms import RoutedBatchNorm

graphs = []

def backend(graph, inputs):
    graphs.append(graph)
    return graph.forward

forward_pass = ForwardPass()
norm = RoutedBatchNorm(nn.BatchNorm2d(3), forward_pass, "shared", 2)
compiled = torch.compile(norm, backend=backend, dynamic=True)
counts = []
for groups in range(2, 14):
    x = torch.randn(groups * 4, 3, 5, 5)
    with forward_pass.running(make_plan(groups, 4), False):
        torch.testing.assert_close(compiled(x), norm(x))
    counts.append(len(graphs))
sys.exit(not 0 < counts[0] <= counts[1] == counts[-1])
"""


@pytest.mark.long
def test_a_compiler_sees_path_counts_as_shapes() -> None:
    """With counts as Python integers every new one would compile again, and stop after eight.

    In a process of its own: the shape checks of these tests would be compiled, too.
    """
    done = subprocess.run(
        [sys.executable, "-c", COMPILED],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("group_major", [True, False])
@pytest.mark.parametrize("mode", ["shared", "task", "pooled"])
def test_a_single_value_per_channel_is_refused(mode: Normalization, group_major: bool) -> None:
    config = BackboneConfig(name="stem", normalization=mode)
    backbone = build_backbone(config, 4, None, Stem, input_shape=(4,))
    network = TaskNetworks(backbone, make_tasks([2, 2], shape=(4,)), 1, group_major=group_major)
    batch = make_batch(network.tasks, 1, dtype=torch.float32)
    before = {name: b.clone() for name, b in network.named_buffers()}
    for together in (False, True):
        step = Batch((batch.inputs[0],) * 2, batch.targets, True) if together else batch
        if mode == "pooled" and not together:
            network.losses(
                step, torch.zeros(1, 1, 2, dtype=torch.int64)
            )  # two values, of two tasks
            before = {name: b.clone() for name, b in network.named_buffers()}
            continue
        with pytest.raises(MtlError, match="batch_size"):
            network.losses(step, torch.zeros(1, 1, 2, dtype=torch.int64))
    assert all(torch.equal(b, before[name]) for name, b in network.named_buffers())
