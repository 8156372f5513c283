"""What a strategy has found out is trained again as it is: whole units, or adapters."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_framework import TaskNetworks
from mtl_framework.networks.result import Result
from mtl_framework.testing import Trial

LEARNED = {
    "kind": "low_rank", "rank": 2, "assignment": "learned", "trunk": "frozen",
    "nes_learning_rate": 0.5,
}  # fmt: skip
FOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "a tree": ("fafs", {"alpha": 1e6, "stall": 2, "columns": 2}),
    "units": ("recon", {"parted": 2, "measure": 0.5, "every": 1}),
    "groups": ("task_grouping", {"groups": 2, "measure": 0.5, "every": 1}),
    "adapters": ("adapters", LEARNED),
}


def together(weights: Any) -> Tensor:
    """(units, tasks, tasks): which tasks share which unit, whatever the weights' numbers."""
    rows = torch.as_tensor(weights)
    return rows[:, :, None] == rows[:, None]


@pytest.mark.parametrize("found", FOUND)
def test_the_sharing_that_is_trained_again_is_that_of_the_run(found: str, tmp_path: Path) -> None:
    strategy, options = FOUND[found]
    run = Trial(strategy, options).start(tmp_path / "run")
    run.execute()
    assert isinstance(run.network, TaskNetworks)
    shared = together(run.network.assignment)
    own, all_of_it = torch.eye(3, dtype=torch.bool), torch.ones(3, 3, dtype=torch.bool)
    assert not torch.equal(shared, own.expand_as(shared))
    assert not torch.equal(shared, all_of_it.expand_as(shared))
    suite = {"name": "trial", "common_input": strategy == "fafs"}
    source = {"from_run": str(tmp_path / "run")}
    again = [Trial("fixed_sharing", source)]
    if strategy == "adapters":
        again.append(Trial("adapters", {**LEARNED, "assignment": source}))
    for number, trial in enumerate(again):
        second = trial.start(tmp_path / f"again{number}", suite=suite)
        second.execute()
        assert isinstance(second.network, TaskNetworks)
        assert torch.equal(together(second.network.assignment), shared)
        result = Result.load(tmp_path / f"again{number}")
        assert result.assignment is not None
        assert torch.equal(together(result.assignment.weights), shared)
        used = (second.network.assignment.amax(1) + 1).tolist()
        assert list(second.network.weights_per_unit) == used
