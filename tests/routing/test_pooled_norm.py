"""Pooling before normalising gives what pooling afterwards gives."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from support.makers import make_batch, make_tasks
from torch import Tensor, nn

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.plugins.manager import Plugins
from mtl_framework.routing import cpu
from mtl_framework.routing.cpu.path_norm import path_batch_norm
from mtl_framework.routing.cpu.pooled_norm import Pooling, keeps_order, pooled_path_norm, pooling_of
from mtl_framework.routing.cpu.take_over import take_over_poolings
from mtl_framework.routing.forward_pass import ForwardPass
from mtl_framework.routing.norms import RoutedBatchNorm
from mtl_framework.routing.replace_norms import route_norms

EPS = 1e-5


@st.composite
def poolings(draw: st.DrawFn) -> Pooling:
    size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, length // 2)) for length in size)
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    ceil_mode, relu = draw(st.booleans()), draw(st.booleans())
    return Pooling(size, stride, (padding[0], padding[1]), dilation, ceil_mode, relu)


@settings(deadline=None)
@given(poolings(), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_values_statistics_and_gradients_are_those_of_the_plain_order(
    pooling: Pooling, groups: int, examples: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(groups * examples, 4, 7, 8, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    weight = (torch.rand(4, dtype=torch.float64) + 0.1).requires_grad_()
    bias = torch.randn(4, dtype=torch.float64).requires_grad_()

    def results(pool_first: bool) -> list[Tensor]:
        mean, var = torch.zeros(2, groups, 4, dtype=torch.float64)
        if pool_first:
            y = pooled_path_norm(x, weight, bias, mean, var, EPS, pooling)
        else:
            y = path_batch_norm(x, weight, bias, mean, var, EPS)
            size, stride, padding, dilation, ceil = pooling.arguments
            y = F.relu(y) if pooling.relu else y
            y = F.max_pool2d(y, list(size), list(stride), list(padding), list(dilation), ceil)
        upstream = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view(y.shape)
        return [y.detach(), mean, var, *torch.autograd.grad(y, (x, weight, bias), upstream)]

    for ours, plain in zip(results(True), results(False), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-12)


def test_equal_values_of_a_window_send_their_gradient_to_the_same_place() -> None:
    x = torch.zeros(2, 1, 2, 2).to(memory_format=torch.channels_last)
    x[0, 0, 1, 1] = -1  # images have flat backgrounds: three values are largest
    x.requires_grad_()
    weight, bias = torch.ones(1), torch.ones(1)
    pooling = Pooling((2, 2), (2, 2), (0, 0), (1, 1), False, True)
    mean, var = torch.zeros(2, 1, 1)
    ours = pooled_path_norm(x, weight, bias, mean.clone(), var.clone(), EPS, pooling)
    plain = path_batch_norm(x, weight, bias, mean, var, EPS)
    plain = F.max_pool2d(F.relu(plain), 2)
    upstream = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    (a,), (b,) = (torch.autograd.grad(y, x, upstream) for y in (ours, plain))
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("smallest", [0.0, -0.5, float("nan")])
def test_a_scale_that_is_not_positive_keeps_the_plain_order(smallest: float) -> None:
    x = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert keeps_order(x, torch.tensor([1.0, 0.5, 0.1]))
    assert not keeps_order(x, torch.tensor([1.0, smallest, 0.1]))


def test_other_layouts_and_kinds_keep_the_plain_order() -> None:
    weight = torch.ones(3)
    assert not keeps_order(torch.randn(2, 3, 4, 4), weight)
    assert not keeps_order(torch.randn(2, 3), weight)
    last = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert not keeps_order(last.bfloat16(), weight)
    assert not keeps_order(last, None)


def test_what_counts_as_a_pooling() -> None:
    found = pooling_of([nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.ReLU()])
    assert found == (Pooling((3, 3), (2, 2), (1, 1), (1, 1), False, True), 2)
    assert pooling_of([nn.MaxPool2d((1, 2))]) == (
        Pooling((1, 2), (1, 2), (0, 0), (1, 1), False, False),
        1,
    )
    for layers in ([], [nn.ReLU()], [nn.AvgPool2d(2)], [nn.GELU(), nn.MaxPool2d(2)]):
        assert pooling_of(layers) is None
    assert pooling_of([nn.MaxPool2d(2, return_indices=True)]) is None


def make_networks(dtype: torch.dtype = torch.float32) -> TaskNetworks:
    torch.manual_seed(0)
    factory = Plugins.load().backbone("dkl_convnet")
    backbone = build_backbone(BackboneConfig(name="dkl_convnet"), 1, (12, 12), factory)
    return TaskNetworks(backbone, make_tasks([3, 3], (1, 12, 12)), 2).to(dtype)


def norms_of(networks: TaskNetworks) -> list[RoutedBatchNorm]:
    return [layer for layer in networks.modules() if isinstance(layer, RoutedBatchNorm)]


def test_layers_keep_their_places_and_names() -> None:
    networks = make_networks()
    assert all(norm.pooling is not None for norm in norms_of(networks))
    assert not any(isinstance(layer, nn.MaxPool2d) for layer in networks.modules())
    plain = networks.extract(0)
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in plain.modules()) == 3
    own = {key.split(".copies.1.")[-1] for key in networks.state_dict() if ".copies.1." in key}
    assert {"conv.weight", "bn.weight", "bn.running_var"} <= own


def test_only_norms_with_one_place_in_a_known_order_take_over() -> None:
    tied = nn.BatchNorm2d(2)

    class Skipping(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self[0](x)
            return y

    def layers(norm: nn.Module) -> list[nn.Module]:
        return [norm, nn.ReLU(), nn.MaxPool2d(2)]

    plain, skipping = (
        nn.Sequential(*layers(nn.BatchNorm2d(2))),
        Skipping(*layers(nn.BatchNorm2d(2))),
    )
    twice = nn.Sequential(*layers(tied), nn.Conv2d(2, 2, 1), tied)
    not_called = nn.Sequential(*layers(nn.BatchNorm2d(2)))
    inner = nn.Sequential(nn.Conv2d(2, 2, 1), plain)
    model = nn.ModuleList([inner, skipping, twice, not_called])
    model = route_norms(model, ForwardPass(), "shared", 1)  # type: ignore[assignment]
    take_over_poolings(model, [inner, skipping, twice])
    found = [norm.pooling is not None for norm in (plain[0], skipping[0], twice[0], not_called[0])]
    assert found == [True, False, False, False]
    assert [type(layer) for layer in plain[1:]] == [nn.Identity, nn.Identity]
    for untouched in (skipping, twice, not_called):
        assert isinstance(untouched[2], nn.MaxPool2d)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_networks_compute_what_their_plain_ones_do(negative: bool, training: bool) -> None:
    """With one path a task routed and plain models see the same batches."""
    networks = make_networks(torch.float64)
    with torch.no_grad():
        for norm in norms_of(networks):
            assert norm.weight is not None
            norm.weight.uniform_(0.5, 1.5)
            if negative:
                norm.weight[::2] *= -1
    networks.assignment.copy_(torch.tensor([0, 1]).expand_as(networks.assignment))
    images = torch.randn(5, 1, 12, 12, dtype=torch.float64)
    networks.train(training)
    for task in range(2):
        plain = networks.extract(task).train(training)
        with torch.no_grad():
            torch.testing.assert_close(networks.predict(task, images), plain(images))


def test_the_switch_for_a_cpu_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for enabled in (True, False):
        monkeypatch.setattr(cpu, "ENABLED", enabled)
        networks = make_networks(torch.float64).train()
        batch = make_batch(networks.tasks, 5)
        plan = networks.plan(batch, torch.zeros(1, len(networks.weights_per_unit), 2).long())
        assert plan.micro_batches[0][1].group_major is enabled
        losses = networks.accumulate_gradients(
            batch, torch.zeros(1, len(networks.weights_per_unit), 2).long()
        )
        gradients = [p.grad for p in networks.parameters() if p.grad is not None]
        results.append([losses, *gradients, *(b for b in networks.buffers())])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-11)
