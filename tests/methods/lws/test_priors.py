"""Where a search starts leaning: towards one weight, own ones, or groups without conflict."""

from pathlib import Path

import pytest
import torch
from mtl_lws.beyond import conflict
from mtl_lws.beyond.leaning import lean_towards
from mtl_lws.config import LwsConfig
from mtl_lws.strategy import LearnedWeightSharing
from support.dense import binary_suite, dense_backbone
from support.tiny import start

from mtl_framework.data.batches import Batch


def test_tasks_that_contradict_each_other_start_apart() -> None:
    torch.manual_seed(0)
    strategy = LearnedWeightSharing(LwsConfig(), 1)
    network = strategy.build(dense_backbone(), binary_suite(4))
    inputs = torch.rand(32, 6)
    labels = (inputs[:, 0] > inputs[:, 1]).long()
    batch = Batch((inputs,) * 4, (labels, 1 - labels, labels, 1 - labels))
    for task in range(1, 4):  # the same heads, so that only labels make a difference
        network.head(task).load_state_dict(network.head(0).state_dict())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cosines = conflict.gradient_cosines(network, lambda: batch, 1, 1e-3)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert float(cosines[:, 0, 2].min()) > 0.99
    assert float(cosines[:, 0, 1].max()) < 0
    assert conflict.groups_without_conflict(cosines, 4).tolist() == [[0, 1, 0, 1]] * 2
    assert conflict.groups_without_conflict(cosines, 1).tolist() == [[0, 0, 0, 0]] * 2
    lean_towards(strategy.distribution, torch.tensor([[0, 1, 0, 1]] * 2), 0.5)
    torch.testing.assert_close(
        strategy.distribution.pi[:, 1, 1], torch.tensor([0.625] * 2).double()
    )


def test_a_start_that_leans_towards_sharing_is_full_sharing_at_its_mode(tmp_path: Path) -> None:
    options = {"name": "learned", "prior": "shared", "prior_strength": 0.75, "freeze_after": 1}
    run = start(tmp_path / "run", strategy={**options, "nes_learning_rate": 1e-12})
    run.execute()
    strategy = run.strategy
    assert isinstance(strategy, LearnedWeightSharing)
    pi = strategy.distribution.pi
    weights = pi.shape[-1]
    torch.testing.assert_close(pi[..., 0], torch.full_like(pi[..., 0], 0.75 + 0.25 / weights))
    assert (pi[..., 1:] - 0.25 / weights).abs().max() < 1e-9
    assert not strategy.network.assignment.any()


@pytest.mark.parametrize("weights", [2, 3, 5])
def test_a_start_that_leans_towards_own_weights_gives_the_tth_task_weight_t(
    tmp_path: Path, weights: int
) -> None:
    options = {
        "name": "learned", "prior": "own", "prior_strength": 0.75, "freeze_after": 1,
        "weights_per_unit": weights, "nes_learning_rate": 1e-12,
    }  # fmt: skip
    run = start(tmp_path / "run", strategy=options)
    run.execute()
    strategy = run.strategy
    assert isinstance(strategy, LearnedWeightSharing)
    pi, (units, tasks) = strategy.distribution.pi, strategy.network.assignment.shape
    for unit in range(units):
        for task in range(tasks):
            own = task % weights  # with two weights the third task has the first one's
            assert float(pi[unit, task, own]) == pytest.approx(0.75 + 0.25 / weights)
            others = [k for k in range(weights) if k != own]
            assert pi[unit, task, others].tolist() == pytest.approx([0.25 / weights] * len(others))
            assert int(strategy.network.assignment[unit, task]) == own
