"""Generations of muir: challenge, training, selection, and going back to the best."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_muir.config import MuirConfig
from mtl_muir.search.best import BestGeneration
from mtl_muir.search.evolution import Candidates
from mtl_muir.strategy import Muir
from support.muir_networks import linear_models, whole_batch
from support.muir_runs import run_of, strategy_of

from mtl_framework.networks.evaluation import Evaluation, SplitMetrics
from mtl_framework.support.errors import MtlError


def test_evaluation_at_a_generations_end_sees_the_survivors(tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps_per_generation": 2, "soft_learning_rate": 1.0}
    early = run_of(tmp_path / "a", keys={"iterations": 2, "eval_every": 2}, **options)
    early.execute()
    assert not strategy_of(early).network.challenged.any()
    late = run_of(
        tmp_path / "b",
        keys={"iterations": 2, "eval_every": 2},
        refine="after_evaluation",
        **options,
    )
    late.execute()
    network = strategy_of(late).network
    assert network.challenged.any()
    assert torch.equal(network.best_mapping(), strategy_of(early).network.mapping)
    a, b = early.last_evaluation, late.last_evaluation
    assert a is not None
    assert b is not None
    assert a.splits["test"].per_task != b.splits["test"].per_task
    strategy_of(late).begin_generation(1, late)
    assert not torch.equal(network.candidates[:, 1:], network.candidates[:, :1])


def test_burn_in_and_the_end_of_the_search_leave_the_mapping_alone(tmp_path: Path) -> None:
    keys = {"iterations": 10, "eval_every": 1}
    run = run_of(tmp_path / "a", keys=keys, burn_in=2, search_generations=4)
    strategy = strategy_of(run)
    seen = []
    tell = run._observers.tell

    def noting(hook: str, **values: object) -> None:
        if hook == "mtl_step":
            seen.append(bool(strategy.network.challenged.any()))
        tell(hook, **values)

    run._observers.tell = noting  # type: ignore[method-assign]
    run.execute()
    # survivors are chosen within the last step of a generation
    assert seen == [False] * 4 + [True, False, True, False] + [False] * 2


def test_soft_weights_start_anew(tmp_path: Path) -> None:
    backbones, suite = linear_models(6)
    torch.manual_seed(0)
    strategy = Muir(MuirConfig(block_out=1, block_in=4, alternatives=3, alpha=0.3), 1)
    network = strategy.build_each(backbones, suite)
    strategy.challenge()
    expected = torch.tensor([0.7, 0.1, 0.1, 0.1]).expand(6, 4)
    torch.testing.assert_close(network.probabilities().detach(), expected)
    strategy.train_step(whole_batch(suite))
    assert network.logits in strategy.optimizer.state
    assert not torch.allclose(network.probabilities().detach(), expected)
    strategy.refine()
    strategy.challenge()
    assert network.logits not in strategy.optimizer.state
    torch.testing.assert_close(network.probabilities().detach(), expected)


@pytest.mark.parametrize("idle", ["still", "momentum"])
def test_idle_modules_rest_or_drift(idle: Any) -> None:
    backbones, suite = linear_models(4)
    torch.manual_seed(0)
    strategy = Muir(MuirConfig(block_out=1, block_in=4, idle_modules=idle), 1)
    network = strategy.build_each(backbones, suite)
    batch = whole_batch(suite)
    for _ in range(3):
        strategy.train_step(batch)
    network.challenge(
        Candidates(
            torch.tensor([[0, 0], [0, 0], [0, 0], [3, 3]]),
            torch.ones(4, dtype=torch.bool),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, dtype=torch.int64),
        ),
        torch.zeros(2),
        strategy.generator,
    )
    strategy.refine()
    before = network.hypermodules.hypermodules.detach().clone()
    strategy.train_step(batch)
    moved = (network.hypermodules.hypermodules.detach() != before).flatten(1).any(1)
    assert moved.tolist() == [True, idle == "momentum", idle == "momentum", True]


@pytest.mark.long
def test_going_back_to_the_best_generation(tmp_path: Path) -> None:
    keys = {"iterations": 60, "eval_every": 5, "log_every": 5}
    options: dict[str, Any] = {
        "steps_per_generation": 5, "search_generations": 10, "save_best": True,
        "learning_rate": 0.3, "best_by": "mean",
    }  # fmt: skip
    whole = run_of(tmp_path / "a", "groups", keys=keys, **options)
    whole.execute()
    lines = [json.loads(line) for line in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
    scores = {
        line["iteration"]: sum(line["evaluation"]["validation"]["loss_per_task"].values())
        for line in lines
        if "evaluation" in line
    }
    mappings = {
        line["iteration"]: line["metrics"]["mapping"] for line in lines if "metrics" in line
    }
    best = min((n for n in scores if n <= 50), key=lambda n: scores[n])
    assert mappings[60] == mappings[best]
    assert strategy_of(whole).best.score == pytest.approx(scores[best] / 6)
    for at in (25, 55):  # the best state survives a stop
        run_of(tmp_path / f"b{at}", "groups", keys={**keys, "iterations": at}, **options).execute()
        again = run_of(tmp_path / f"b{at}", "groups", resume=True, keys=keys, **options)
        again.execute()
        for name, value in whole.network.state_dict().items():
            assert torch.equal(value, again.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("by", "expected"), [("mean", 3.0), ("relative", 0.5 * (2 / 4 + 4 / 2)), ("b", 4.0)]
)
def test_what_validation_prefers(by: str, expected: float) -> None:
    def evaluation(a: float, b: float) -> Evaluation:
        split = SplitMetrics(0.0, None, {}, {"a": a, "b": b})
        return Evaluation(1, {"validation": split, "test": split})

    best = BestGeneration(by, ("a", "b"))
    best.consider(evaluation(4.0, 2.0))
    best.score = float("inf")
    assert best.consider(evaluation(2.0, 4.0))
    assert best.score == expected
    assert not best.consider(evaluation(2.0, 4.0))
    with pytest.raises(MtlError, match="needs validation examples"):
        best.consider(Evaluation(1, {"test": evaluation(1.0, 1.0).splits["test"]}))
    with pytest.raises(MtlError, match="unknown value of best_by 'c'"):
        BestGeneration("c", ("a", "b"))
