"""Samples ranked by the losses of the weight step: one pass an iteration instead of two."""

import copy
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from mtl_lws.config import LwsConfig
from mtl_lws.strategy import LearnedWeightSharing
from pydantic import ValidationError
from support.dense import binary_suite, dense_backbone
from support.lws import paper
from support.tiny import start

from mtl_framework.data.batches import Batch

INPUTS = torch.linspace(0, 1, 24).reshape(4, 6)
BATCH = Batch((INPUTS,) * 3, (torch.tensor([0, 1, 0, 1]),) * 3)


def built(**options: Any) -> LearnedWeightSharing:
    torch.manual_seed(0)
    strategy = LearnedWeightSharing(paper(weight_samples=4, **options), 1)
    strategy.build(dense_backbone(), binary_suite(3))
    return strategy


@pytest.mark.parametrize("credit", ["joint", "task"])
def test_the_distribution_moves_by_the_losses_that_trained_the_weights(
    credit: Literal["joint", "task"],
) -> None:
    strategy = built(ranked_on="weight_step", credit=credit)
    generator = torch.Generator()
    generator.set_state(strategy.generator.get_state())
    wanted = copy.deepcopy(strategy.distribution)
    assignments = wanted.sample(4, generator)
    network = copy.deepcopy(strategy.network)
    network.train()
    losses = network.losses(BATCH, assignments).detach()
    ranked = losses.mean(1) if credit == "joint" else losses
    wanted.step(assignments, ranked, 0.25, 1e-3, "mean")
    torch.testing.assert_close(strategy.weight_step(BATCH, 0.25), losses)
    torch.testing.assert_close(strategy.distribution.pi, wanted.pi)
    assert torch.equal(strategy.network.assignment, wanted.mode())


def test_the_weights_move_as_without_ranking() -> None:
    ranked, plain = built(ranked_on="weight_step"), built()
    for strategy in (ranked, plain):
        strategy.weight_step(BATCH)
    pairs = zip(ranked.network.parameters(), plain.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert not torch.equal(ranked.distribution.pi, plain.distribution.pi)


def test_an_iteration_has_one_batch_and_no_search_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(LearnedWeightSharing, "search_step")
    options = {"name": "learned", "ranked_on": "weight_step", "weight_samples": 2}
    run = start(tmp_path / "run", strategy={**options, "freeze_after": 0.5})
    run.execute()
    strategy = run.strategy
    assert isinstance(strategy, LearnedWeightSharing)
    assert strategy.distribution.entropy() == 0
    assert "nes_loss" not in (tmp_path / "run" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_samples": 1}, "weight_samples of at least 2 with ranked_on 'weight_step'"),
        ({"search_data": 0.2}, "should have ranked_on 'search_step' with search_data"),
    ],
)
def test_what_cannot_be_ranked_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LwsConfig(**{"ranked_on": "weight_step", "weight_samples": 2, **options})
