"""bf16 and accelerators: other roundings, the same step."""

import pytest
import torch
from mtl_backbones.convnets import DklConvNet
from support.makers import make_assignments, make_backbone, make_batch, make_tasks

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.batches import Batch
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.routing.statistics_schedule import Normalization
from mtl_framework.testing.oracle import Oracle

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
)


def moved(batch: Batch, device: str, dtype: torch.dtype) -> Batch:
    return Batch(
        tuple(x.to(device, dtype) for x in batch.inputs),
        tuple(y.to(device) for y in batch.targets),
        batch.common_input,
    )


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    difference = (found.detach().cpu().double() - expected.detach().cpu()).norm()
    return float(difference / expected.norm().clamp(min=1e-12))


@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_step_agrees_with_the_loops_up_to_rounding(
    device: str, precision: str, normalization: Normalization
) -> None:
    """Losses, and the gradient of all parameters together, against float64 loops."""
    torch.manual_seed(0)
    tasks = make_tasks(shape=(1, 28, 28))
    config = BackboneConfig(name="dkl_convnet", normalization=normalization)
    network = TaskNetworks(build_backbone(config, 1, (28, 28), DklConvNet), tasks, 3)
    batch = make_batch(tasks, sizes=8)
    assignments = make_assignments("random", 3, 4, 3, 3)
    expected = Oracle(network.double()).step(batch, assignments)
    network.float().to(device)
    network.precision = precision
    losses = network.accumulate_gradients(moved(batch, device, torch.float32), assignments)
    assert losses.dtype == torch.float32
    loss_error, gradient_error = (1e-4, 1e-2) if precision == "fp32" else (3e-2, 0.5)
    assert relative_error(losses, expected.losses) < loss_error
    named = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert set(named) == set(expected.gradients)
    found = torch.cat([gradient.cpu().flatten() for gradient in named.values()])
    wanted = torch.cat([expected.gradients[name].flatten() for name in named])
    assert relative_error(found, wanted) < gradient_error
    for name, buffer in network.named_buffers():
        if "running_mean" in name:
            assert buffer.dtype == torch.float32
            assert relative_error(buffer, expected.buffers[name]) < 30 * loss_error


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_network_can_move_between_steps(device: str) -> None:
    """Formats and plans follow the device; the results stay."""
    torch.manual_seed(0)
    network = TaskNetworks(make_backbone("resnet18"), make_tasks(), 2).eval()
    x = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        before = network.predict(1, x)
        network.to(device)
        there = network.predict(1, x.to(device)).cpu()
        network.to("cpu")
        again = network.predict(1, x)
    torch.testing.assert_close(there, before, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(again, before)
