"""Several gradients in one backward pass, as TorchJD asks for them by default."""

import pytest
import torch
from mtl_backbones.convnets import DklConvNet
from support.makers import make_backbone, make_batch

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.objectives import Classification
from mtl_framework.data.tasks import Examples, Task
from mtl_framework.networks.task_networks import TaskNetworks


def tasks(channels: int, size: int) -> list[Task]:
    examples = Examples(torch.zeros(2, channels, size, size), torch.zeros(2, dtype=torch.int64))
    return [Task(str(n), Classification(3), examples, examples) for n in range(3)]


@pytest.mark.long
@pytest.mark.parametrize("group_major", [True, False])
@pytest.mark.parametrize(
    ("name", "normalization"),
    [
        ("dkl", "shared"),
        ("resnet10t", "task"),
        ("resnet10t", "pooled"),
        ("levit_conv_128s", "shared"),
    ],
)
def test_all_rows_of_a_jacobian_at_once_are_those_of_one_at_a_time(
    name: str, normalization: str, group_major: bool
) -> None:
    torch.manual_seed(0)
    if name == "dkl":  # pooling before normalising
        config = BackboneConfig(name="dkl", normalization="shared", shared=())
        backbone, size = build_backbone(config, 1, (28, 28), DklConvNet), 28
    else:
        size = 32 if name == "resnet10t" else 64
        backbone = make_backbone(name, size=size, normalization=normalization)
    channels = backbone.input_shape[0]
    network = TaskNetworks(backbone, tasks(channels, size), 2, group_major=group_major).train()
    batch = make_batch(network.tasks, 4, 0, dtype=torch.float32)
    units = len(backbone.units)
    assignments = torch.randint(2, (2, units, 3), generator=torch.Generator().manual_seed(1))
    losses = network.losses(batch, assignments).mean(0)
    parameters = [p for p in network.parameters() if p.requires_grad]

    def rows(weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Gradients of a weighted sum of losses, zero for what no path uses."""
        return torch.autograd.grad(losses, parameters, weights, True, materialize_grads=True)

    together = torch.vmap(rows)(torch.eye(3))  # TorchJD's way, and torch's own
    older = torch.autograd.grad(
        losses, parameters, torch.eye(3), True, allow_unused=True, is_grads_batched=True
    )
    for number in range(3):
        alone = rows(torch.eye(3)[number])
        for one, several, others in zip(alone, together, older, strict=True):
            torch.testing.assert_close(several[number], one, rtol=1e-4, atol=1e-5)
            if others is not None:
                torch.testing.assert_close(others[number], one, rtol=1e-4, atol=1e-5)


def test_only_tensors_that_stand_for_several_are_treated_so() -> None:
    from mtl_framework.routing.batched import is_batched

    seen: list[bool] = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(is_batched(x))
        return x

    torch.vmap(look)(torch.zeros(3, 2))
    assert seen == [True]
    assert not is_batched(torch.zeros(3))
    assert not is_batched(None)
