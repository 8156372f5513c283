"""Running statistics measured anew equal plain averages; runs with it resume exactly."""

from pathlib import Path

import pytest
import torch
from support.makers import make_assignments, make_backbone, make_batch, make_tasks
from support.tiny import start
from torch import nn

from mtl_framework.networks.reestimation import reestimate_statistics
from mtl_framework.networks.task_networks import TaskNetworks

CPU = torch.device("cpu")


def make_network(normalization: str) -> TaskNetworks:
    torch.manual_seed(0)
    backbone = make_backbone(
        "resnet18", normalization=normalization, args={"channels": (8, 8, 8, 8)}
    )
    network = TaskNetworks(backbone, make_tasks(), 3).double()
    network.assignment.copy_(make_assignments("random", 1, 8, 3, 3)[0])
    return network.train()


@pytest.mark.parametrize("normalization", ["shared", "task", "pooled"])
def test_the_first_layer_holds_the_average_over_batches_and_tasks(normalization: str) -> None:
    network = make_network(normalization)
    batches = [make_batch(network.tasks, seed=seed) for seed in range(3)]
    parameters = {name: p.clone() for name, p in network.named_parameters()}
    network.heads[1].eval()  # modes come back one by one
    reestimate_statistics(network, batches, CPU)
    assert network.training
    assert not network.heads[1].training
    for name, p in network.named_parameters():
        assert torch.equal(p, parameters[name])
    norm = network.model.get_submodule("bn1")
    assert norm.momentum == 0.1
    conv = network.model.get_submodule("conv1")
    means = torch.stack(
        [torch.stack([conv(x).mean((0, 2, 3)) for x in batch.inputs]) for batch in batches]
    )  # (batches, tasks, channels)
    found = norm.running_mean
    expected = means.mean(0) if normalization == "task" else means.mean((0, 1))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=1e-12)


def test_weights_that_no_path_uses_keep_their_statistics() -> None:
    network = make_network("shared")
    network.assignment.zero_()
    unused = {n: b.clone() for n, b in network.named_buffers() if ".copies.2.bn" in n}
    used = {n: b.clone() for n, b in network.named_buffers() if ".copies.0.bn" in n}
    reestimate_statistics(network, [make_batch(network.tasks)], CPU)
    after = dict(network.named_buffers())
    for name, before in unused.items():
        if "tracked" not in name:
            assert torch.equal(after[name], before)
    assert not any(torch.equal(after[n], b) for n, b in used.items() if "running_mean" in n)


def test_no_random_number_is_drawn_and_no_gradient_kept() -> None:
    network = make_network("shared")
    network.model.get_submodule("bn1").drop = nn.Dropout(0.5)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    reestimate_statistics(network, [make_batch(network.tasks)], CPU)
    assert torch.equal(before, torch.get_rng_state())
    assert all(p.grad is None for p in network.parameters())


def test_training_reads_the_same_batches_with_and_without(tmp_path: Path) -> None:
    """Only evaluations change: the weights that training ends with are the same."""
    ends = []
    for batches in (0, 2):
        run = start(tmp_path / str(batches), strategy="routed", reestimate_statistics=batches)
        result = run.execute()
        ends.append((run.network.state_dict(), result.test.loss_per_task))
    (plain, losses), (anew, others) = ends
    assert losses != others
    for name, value in plain.items():
        assert torch.equal(anew[name], value), name  # measured anew for evaluations only
