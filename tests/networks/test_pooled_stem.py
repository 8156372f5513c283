"""The stem of timm's ResNets pools before it normalises, and computes what the loops do."""

from typing import Any

import pytest
import torch
from support.dense_tasks import dense_tasks
from support.makers import make_assignments, make_backbone, make_batch, make_tasks
from torch import Tensor, nn

from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.routing.cpu import suits
from mtl_framework.routing.cpu.pooled_norm import Pooling, pooled_path_norm
from mtl_framework.routing.norms import RoutedBatchNorm
from mtl_framework.testing.oracle import Oracle

NARROW = {"channels": (8, 8, 12, 16)}
LONG = pytest.mark.long
FACTORS = {"positive": 1.0, "negative": -1.0, "zero": 0.0}  # of every third scale


def networks(normalization: str = "shared", name: str = "resnet18") -> TaskNetworks:
    torch.manual_seed(1)
    backbone = make_backbone(name, normalization=normalization, args=NARROW)
    return TaskNetworks(backbone, make_tasks(), 2).double()


def stem_norm(network: TaskNetworks) -> RoutedBatchNorm:
    norm = network.model.bn1
    assert isinstance(norm, RoutedBatchNorm)
    return norm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scale", ["positive", "negative", pytest.param("zero", marks=LONG)])
@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
def test_losses_gradients_and_running_averages_are_those_of_the_loops(
    normalization: str, scale: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counted(*args: Any) -> Tensor:
        calls.append(len(args[0]))
        return pooled_path_norm(*args)

    monkeypatch.setattr("mtl_framework.routing.norms.pooled_path_norm", counted)
    network = networks(normalization).train(training)
    norm = stem_norm(network)
    assert norm.weight is not None
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)[::3].mul_(FACTORS[scale])
        assert norm.bias is not None
        norm.bias.uniform_(-1, 1)
        for buffer in (norm.running_mean, norm.running_var):
            assert buffer is not None
            buffer.add_(torch.rand_like(buffer))
    batch = make_batch(network.tasks)
    assignments = make_assignments("random", 3, len(network.weights_per_unit), 3, 2)
    weights = torch.ones(3, 3, dtype=torch.float64)
    expected = Oracle(network).step(batch, assignments, weights, training)
    calls.clear()
    close: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
    if training:
        losses = network.accumulate_gradients(batch, assignments, weights)
        for name, parameter in network.named_parameters(remove_duplicate=False):
            if parameter.grad is not None:
                torch.testing.assert_close(parameter.grad, expected.gradients[name], **close)
    else:
        with torch.no_grad():
            losses = network.losses(batch, assignments)
    torch.testing.assert_close(losses, expected.losses, **close)
    for name, value in network.named_buffers():
        if name != "assignment":
            torch.testing.assert_close(value, expected.buffers[name], **close)
    first = suits(torch.device("cpu")) and scale == "positive"
    assert bool(calls) == (first and training and normalization != "pooled")


def test_the_stem_has_one_norm_for_all_three_and_extracts_as_timm_has_it() -> None:
    network = networks().train(False)
    assert isinstance(stem_norm(network).pooling, Pooling)
    assert [type(network.model.act1), type(network.model.maxpool)] == [nn.Identity, nn.Identity]
    plain = network.extract(1)
    assert [type(plain.act1), type(plain.maxpool)] == [nn.ReLU, nn.MaxPool2d]
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network.predict(1, images), plain(images))


def test_stems_between_whose_layers_a_map_is_read_stay_as_they_are() -> None:
    backbone = make_backbone("resnet18", 64, args=NARROW)
    assert backbone.direct_poolings
    network = TaskNetworks(backbone, dense_tasks(["count", "segmentation"]), 1)
    assert stem_norm(network).pooling is None
    assert [type(network.model.act1), type(network.model.maxpool)] == [nn.ReLU, nn.MaxPool2d]
