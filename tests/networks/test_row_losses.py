"""Losses of single examples, as networks keep them for their strategies."""

import pytest
import torch
from support.makers import make_backbone, make_batch, make_tasks

from mtl_framework import RowLossNetworks
from mtl_framework.data import Batch


@pytest.mark.parametrize("budget", [None, 1])
@pytest.mark.parametrize("twice", [False, True])
def test_losses_of_rows_are_means_over_assignments_and_forgotten(
    budget: int | None, twice: bool
) -> None:
    """With a small budget each assignment runs by itself; one that is there twice counts twice."""
    torch.manual_seed(0)
    backbone = make_backbone("resnet18", args={"channels": (4, 4, 8, 8)})
    network = RowLossNetworks(backbone, make_tasks((2, 3)), 2).double()
    made = make_batch(network.tasks, 8, common_input=True)
    some = torch.arange(len(made.targets[0])) != 1  # one example has no label of the second task
    batch = Batch(made.inputs, made.targets, True, labelled=(None, some))
    units = len(network.weights_per_unit)
    assignments = torch.randint(2, (3, units, 2), generator=torch.Generator().manual_seed(1))
    if twice:
        assignments[1] = assignments[0]
    alone = []
    for assignment in assignments:
        network.losses(batch, assignment[None])
        alone.append(network.last_rows(batch))
    network.memory_budget = budget
    assert len(network.plan(batch, assignments).micro_batches) == (1 if budget is None else 3)
    network.losses(batch, 1 - assignments)  # a step whose losses nobody asks for
    losses = network.losses(batch, assignments)
    rows = network.last_rows(batch)
    assert rows[1].isnan().tolist() == (~some).tolist()
    torch.testing.assert_close(rows, torch.stack(alone).mean(0), equal_nan=True)
    torch.testing.assert_close(rows.double().nanmean(1), losses.mean(0), rtol=1e-5, atol=0)
    assert network.last_rows(batch).isnan().all()
    assert not network.computes_alike  # a step that is replayed would keep nothing
