"""The suite whose right grouping is known."""

import pytest
import torch
from mtl_suites.two_groups import two_groups

from mtl_framework.support.errors import MtlError


def test_groups_agree_within_and_know_nothing_of_each_other() -> None:
    suite = two_groups(tasks_per_group=2, train_per_task=400, test_per_task=2000)
    assert list(suite.task_names) == ["a0", "a1", "b0", "b1"]
    signs = []
    for task in suite.tasks:  # the two directions, estimated from labels: means of the inputs
        inputs, targets = task.test.inputs, task.test.targets
        assert isinstance(inputs, torch.Tensor)
        halves = torch.stack([targets // 2, targets % 2]).double() * 2 - 1
        signs.append(torch.nn.functional.normalize(halves @ inputs.double(), dim=1))
        assert len(task.train) == 400
        assert task.validation is not None
        assert torch.bincount(targets, minlength=4).min() > 400
    for a, b, same in ((0, 1, True), (2, 3, True), (0, 2, False), (1, 3, False)):
        cosines = (signs[a] @ signs[b].T).abs()
        assert bool((cosines.diagonal() > 0.9).all()) == same
        assert same or bool((cosines < 0.2).all())


def test_it_depends_on_its_arguments_alone() -> None:
    first, again, other = (two_groups(seed=seed).tasks[3].train.inputs for seed in (1, 1, 2))
    assert isinstance(first, torch.Tensor)
    assert isinstance(again, torch.Tensor)
    assert isinstance(other, torch.Tensor)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    with pytest.raises(MtlError, match="tasks_per_group should be at least 1, found 0"):
        two_groups(tasks_per_group=0)
