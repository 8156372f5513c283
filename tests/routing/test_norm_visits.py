"""What counts as a visit of a layer that keeps running statistics."""

import copy

import pytest
import torch
from support.makers import make_assignments, make_batch, make_tasks
from support.norm_networks import Stem
from torch import Tensor, nn

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.batches import Batch
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.routing.statistics_schedule import Normalization
from mtl_framework.testing.oracle import Oracle


class Again(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.linear(self.norm(self.linear(x))))
        return y


class Twice(nn.Module):
    """A unit that runs its own batch norm several times, and one outside the units."""

    def __init__(self, num_classes: int, in_chans: int, img_size: object = None) -> None:
        super().__init__()
        self.common = nn.BatchNorm1d(4)
        self.one = Again()
        self.two = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, num_classes)

    def units(self) -> dict[str, list[str]]:
        return {"one": ["one"], "two": ["two"]}

    def get_classifier(self) -> nn.Linear:
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.common(self.two(self.common(self.one(self.common(x))))))
        return y


def twice(mode: Normalization, common_input: bool = False, tasks: int = 3) -> TaskNetworks:
    config = BackboneConfig(name="twice", normalization=mode)
    backbone = build_backbone(config, 4, None, Twice, input_shape=(4,))
    torch.manual_seed(0)
    return TaskNetworks(backbone, make_tasks([3] * tasks, shape=(4,)), 2).double()


@pytest.mark.parametrize("common_input", [False, True])
@pytest.mark.parametrize("mode", ["shared", "task"])
def test_every_call_of_a_layer_in_a_pass_is_a_visit(
    mode: Normalization, common_input: bool
) -> None:
    network = twice(mode)
    batch = make_batch(network.tasks, 5, common_input=common_input)
    assignments = make_assignments("repeated", 4, 2, 3, 2)
    for budget in (None, 0):  # 0: as small parts as can be
        expected = Oracle(network).step(batch, assignments)
        network.memory_budget = budget
        network.losses(batch, assignments)
        for name, buffer in network.named_buffers():
            if name != "assignment":
                torch.testing.assert_close(buffer, expected.buffers[name], msg=f"{name}")


def test_pooled_calls_of_a_layer_are_visits_too() -> None:
    network = twice("pooled", tasks=1)  # with one task a pooled statistic is the task's own
    plain = copy.deepcopy(network.extract(0)).train()
    batch = make_batch(network.tasks, 5)
    network.losses(batch, torch.zeros(1, 2, 1, dtype=torch.int64))
    plain(batch.inputs[0])
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(network.extract(0).get_buffer(name), buffer)


def test_rows_that_all_tasks_read_count_once() -> None:
    """One step of ten tasks on one batch is a step of momentum 0.1, not of 1 - 0.9 ** 10."""
    for mode in ("shared", "task"):
        network = twice(mode, tasks=10)
        batch = make_batch(network.tasks, 8, common_input=True)
        inputs = (batch.inputs[0] - batch.inputs[0].mean(0) - 0.39,) * 10
        network.losses(Batch(inputs, batch.targets, True), torch.zeros(3, 2, 10, dtype=torch.int64))
        visits, none = (
            network.model.get_buffer(f"two.copies.{k}.1.num_batches_tracked") for k in (0, 1)
        )
        assert int(visits.max()) == int(visits.min()) == 1
        assert int(none.max()) == 0
    network = vectors_network(10)
    mean = network.model.get_submodule("stem").running_mean
    inputs = (torch.randn(8, 4) * 1e-6 - 0.39,) * 10
    targets = (torch.zeros(8, dtype=torch.int64),) * 10
    network.losses(Batch(inputs, targets, True), torch.zeros(1, 1, 10, dtype=torch.int64))
    torch.testing.assert_close(mean, torch.full((4,), -0.039), atol=1e-5, rtol=0)
    network.losses(
        Batch(tuple(x.clone() for x in inputs), targets), torch.zeros(1, 1, 10, dtype=torch.int64)
    )
    torch.testing.assert_close(
        mean, torch.full((4,), -0.039 * 0.9**10 - 0.39 * (1 - 0.9**10)), atol=1e-5, rtol=0
    )


def vectors_network(tasks: int) -> TaskNetworks:
    config = BackboneConfig(name="stem", normalization="shared")
    backbone = build_backbone(config, 4, None, Stem, input_shape=(4,))
    return TaskNetworks(backbone, make_tasks([2] * tasks, shape=(4,)), 1)
