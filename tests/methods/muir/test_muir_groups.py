"""What the search of muir finds."""

from pathlib import Path

import pytest
import torch
from mtl_backbones.linear import Linear
from mtl_muir.config import MuirConfig
from mtl_muir.strategy import Muir
from support.muir_networks import whole_batch
from support.muir_runs import LINEAR, groups_suite, run_of, strategy_of
from support.typed import stored

from mtl_framework.backbones.build import build_plain
from mtl_framework.backbones.config import PlainBackboneConfig


@pytest.mark.long
@pytest.mark.parametrize(
    ("contexts", "alternatives", "generations"), [("shared", 2, 40), ("fitted", 4, 60)]
)
def test_groups_are_found(contexts: str, alternatives: int, generations: int) -> None:
    """Two groups of four collinear tasks, each too small alone: two modules, and no error."""
    suite = groups_suite(8)
    backbone = build_plain(
        PlainBackboneConfig(name="linear", args={"bias": False}), (8,), torch.float32, 1, Linear
    )
    torch.manual_seed(2)
    options = {**LINEAR, "learning_rate": 0.01, "soft_learning_rate": 0.1}
    options |= {"challenger_contexts": contexts, "alternatives": alternatives}
    strategy = Muir(MuirConfig(**options), 2)
    network = strategy.build_each([backbone] * 8, suite)
    batch = whole_batch(suite)
    for generation in range(generations + 20):
        if generation < generations:
            strategy.challenge()
        for _ in range(30):
            strategy.train_step(batch)
        strategy.refine()
    first, second = network.mapping[:4].unique(), network.mapping[4:].unique()
    assert len(first) == len(second) == 1
    assert first != second
    for t, task in enumerate(suite.tasks):
        with torch.no_grad():
            outputs = network.predict(t, stored(task.test))
        losses = task.objective.losses(outputs, task.test.targets)
        assert float(losses.mean()) < 1e-4


def test_the_oracle_knows_the_groups(tmp_path: Path) -> None:
    groups = (0, 0, 0, 1, 1, 1)
    run = run_of(tmp_path / "a", "groups", selection="oracle", oracle_groups=groups)
    assert strategy_of(run).network.mapping.tolist() == [0, 0, 0, 3, 3, 3]
    run.execute()
    assert strategy_of(run).network.mapping.tolist() == [0, 0, 0, 3, 3, 3]


@pytest.mark.long
def test_random_selection_does_not_learn(tmp_path: Path) -> None:
    run = run_of(
        tmp_path / "a", "groups", keys={"iterations": 40}, selection="random",
        steps_per_generation=2,
    )  # fmt: skip
    run.execute()
    # random survivors in proportion to use: modules die out
    assert len(strategy_of(run).network.mapping.unique()) < 6


@pytest.mark.parametrize("decomposition", ["task", "all"])
def test_coarser_decompositions_run(tmp_path: Path, decomposition: str) -> None:
    run = run_of(tmp_path / "a", decomposition=decomposition, challenged=1.0)
    parts = strategy_of(run).network.logits.shape[0]
    assert parts == (3 if decomposition == "task" else 1)
    run.execute()


def test_a_common_backbone_is_taken_whole(tmp_path: Path) -> None:
    keys = {"backbone": {"name": "tiny"}, "suite": {"name": "tiny"}}
    run = run_of(tmp_path / "a", "tiny", keys=keys, block_out=2, block_in=2, indivisible="discard")
    result = run.execute()
    assert result.assignment is None
    layers = {weight for _, weight, _ in strategy_of(run).places.weights}
    assert layers == {"low.0.weight", "high.0.weight"}
