"""Heads that take the places of class layers inside a model."""

import pytest
import torch
from support.makers import make_assignments, make_backbone, make_batch, make_tasks

from mtl_framework.networks.task_networks import TaskNetworks


def make_network(group_major: bool = False) -> TaskNetworks:
    torch.manual_seed(0)
    backbone = make_backbone("deit_tiny_distilled_patch16_224", args={"depth": 2})
    return TaskNetworks(backbone, make_tasks(), 2, group_major=group_major).double()


def test_every_task_has_its_own_copies() -> None:
    network = make_network()
    shapes = [[tuple(p.shape) for p in network.head_parameters(task)] for task in range(3)]
    assert shapes == [[(n, 192), (n,)] * 2 for n in (2, 3, 5)]
    assert not set(network.shared_parameters()) & set(network.heads.parameters())
    assert len(list(network.parameters())) == len(set(network.state_dict()) - {"assignment"})


@pytest.mark.parametrize("group_major", [False, True])
def test_parts_and_unequal_batches_change_nothing(group_major: bool) -> None:
    assignments = make_assignments("random", 3, 2, 3, 2)
    outcomes = []
    for budget in (None, 1):
        network = make_network(group_major)
        network.memory_budget = budget
        losses = network.accumulate_gradients(
            make_batch(network.tasks, sizes=(2, 3, 2)), assignments
        )
        outcomes.append((losses, [p.grad for p in network.heads.parameters()]))
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-10, atol=1e-10)


def test_a_common_input_shares_rows_but_not_heads() -> None:
    network = make_network()
    batch = make_batch(network.tasks, common_input=True)
    network.accumulate_gradients(batch, torch.zeros(1, 2, 3, dtype=torch.int64))
    plan = network.plan(batch, torch.zeros(1, 2, 3, dtype=torch.int64)).micro_batches[0][1]
    assert plan.num_groups(2) == 1  # one row an example for all tasks
    for task in range(3):
        outputs = network.predict(task, batch.inputs[0])
        assert outputs.shape == (4, network.tasks[task].objective.num_outputs)
        assert all(p.grad is not None and p.grad.any() for p in network.head_parameters(task))
