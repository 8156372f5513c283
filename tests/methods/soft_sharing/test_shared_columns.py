"""Columns with a shared start have the same weights at first, bit for bit, and part afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_baselines.ends import FullSharing
from mtl_soft_sharing.config import CrossStitchConfig
from mtl_soft_sharing.nddr import Nddr
from mtl_soft_sharing.sluice import Sluice
from mtl_soft_sharing.strategy import ColumnStrategy, CrossStitch
from pydantic import ValidationError
from support.tiny import TinyPlugins, content, finish, start
from torch import Tensor

from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.runs.run import Run
from mtl_framework.testing import Trial, check_contract, check_extraction, check_state

KINDS: dict[str, tuple[type[ColumnStrategy], dict[str, Any]]] = {
    "cross_stitch": (CrossStitch, {}),
    "sgd": (CrossStitch, {"optimizer": "sgd"}),
    "nddr": (Nddr, {}),
    "sluice": (Sluice, {"subspaces": 1}),
}
RECIPE = {"optimizer": {"name": "adamw"}, "average": {"name": "ema", "decay": 0.5}}


def plugins() -> TinyPlugins:
    return TinyPlugins(mixed=CrossStitch, full=FullSharing, fused=Nddr)


def columns(network: TaskNetworks, what: str = "parameters") -> list[list[Tensor]]:
    """The parameters of each column, or its running averages ("buffers")."""
    banks = list(network.banks())
    every = [
        [t for bank in banks for t in getattr(bank.copies[c], what)()]
        for c in range(len(network.tasks))
    ]
    return [[t.detach().clone().double() for t in one] for one in every]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_columns_are_one_network_for_half_of_the_run(
    tmp_path: Path, kind: str, accumulate: int
) -> None:
    strategy, options = KINDS[kind]
    seen: list[tuple[list[list[Tensor]], list[list[Tensor]], list[Tensor]]] = []

    def look(run: Any) -> None:
        network = run.network
        mixing = [p.detach().clone() for p in network.mixers.parameters()]
        seen.append((columns(network), columns(network, "buffers"), mixing))

    trial = Trial(
        strategy,
        {"shared_start": 0.5, "after": "block", **options},
        {"training": {"accumulate": accumulate}, "iterations": 8},
    )
    run = trial.start(tmp_path / "run", look)
    begun = [p.detach().clone() for p in run.network.get_submodule("mixers").parameters()]
    network: Any = run.network
    first = columns(network)[0]
    run.execute()
    assert len(seen) == 8
    for number, (each, averages, mixing) in enumerate(seen, 1):
        if number <= 4:
            assert all(equal(each[0], other) for other in each[1:])
            for one, other in zip(averages[0], averages[-1], strict=True):
                torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)  # sums in other orders
            assert equal(mixing, begun)
        else:
            assert equal(each[0], each[1]) is (accumulate == 2 and number == 5)
    assert not equal(seen[3][0][0], first)
    assert not equal(seen[-1][2], begun)


def test_until_then_it_is_full_sharing(tmp_path: Path) -> None:
    """Rows of the mixing weights sum to one: equal columns are mixed into themselves."""
    mixed = start(
        tmp_path / "mixed",
        plugins(),
        strategy={"name": "mixed", "shared_start": 0.9, "after": "block", "optimizer": "sgd"},
    )
    full = start(
        tmp_path / "full",
        plugins(),
        strategy={"name": "full"},
        training={"optimizer": {"name": "momentum", "momentum": 0.9}},
    )
    mine, theirs = mixed.network, full.network
    assert isinstance(mine, TaskNetworks)
    assert isinstance(theirs, TaskNetworks)
    for task in range(2):
        theirs.load_path(task, [0, 0], mine.extract_path(task, [0, 0]).state_dict())
    for run in (mixed, full):
        training = run.strategy.optimize(run)
        for _ in range(3):
            next(training)
    for task in range(2):
        one, other = (network.extract_path(task, [0, 0]).state_dict() for network in (mine, theirs))
        for name, value in other.items():
            if "running" not in name:  # columns meet every task's examples in one batch each
                torch.testing.assert_close(one[name], value, rtol=1e-4, atol=1e-6)


def test_until_then_adam_does_the_same_on_images(tmp_path: Path) -> None:
    """Fused Adam walks through memory as it lies: summed gradients must lie as weights do."""
    config = {"iterations": 20}
    mixed = Trial(CrossStitch, {"shared_start": 0.9, "after": "block"}, config).start(
        tmp_path / "a"
    )
    full = Trial(FullSharing, {}, config).start(tmp_path / "b")
    mine, theirs = mixed.network, full.network
    assert isinstance(mine, TaskNetworks)
    assert isinstance(theirs, TaskNetworks)
    path = [0] * len(mine.weights_per_unit)
    for task in range(len(mine.tasks)):
        theirs.load_path(task, path, mine.extract_path(task, path).state_dict())
    steps = [run.strategy.optimize(run) for run in (mixed, full)]
    for _ in range(10):
        one, other = (next(each).loss.flatten() for each in steps)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["mixed", "fused"])
@pytest.mark.parametrize("stop", [2, 3, 4])
def test_stopped_runs_go_on_as_if_they_had_not_been(tmp_path: Path, name: str, stop: int) -> None:
    strategy = {"name": name, "shared_start": 0.5, "after": "block"}
    options: dict[str, Any] = {"strategy": strategy, "training": RECIPE}
    start(tmp_path / "whole", plugins(), **options).execute()
    finish(start(tmp_path / "parts", plugins(), **options), stop_at=stop)
    start(tmp_path / "parts", plugins(), resume=True, **options).execute()
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def longer(folder: Path, iterations: int, **more: Any) -> Run:
    strategy = {"name": "mixed", "shared_start": 0.5, "after": "block"}
    return start(folder, plugins(), strategy=strategy, iterations=iterations, **more)


def test_columns_that_have_parted_stay_so_in_a_longer_run(tmp_path: Path) -> None:
    longer(tmp_path / "run", 4).execute()
    run = longer(tmp_path / "run", 12, resume=True)
    assert "strategy.shared_start" in run.strategy.length_options()
    network = run.network
    assert isinstance(network, TaskNetworks)
    before = [[a - b for a, b in zip(*columns(network), strict=True)]]
    next(run.strategy.optimize(run))
    after = [a - b for a, b in zip(*columns(network), strict=True)]
    assert not equal(before[0], after)  # kept equal, they would keep their distance
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len([line for line in map(json.loads, lines) if "loss" in line]) == 4


def test_columns_of_earlier_networks_are_not_one() -> None:
    with pytest.raises(ValidationError, match="should have shared_start = 0 where start_from"):
        CrossStitchConfig(shared_start=0.1, start_from="runs/single")


@pytest.mark.parametrize("check", [check_contract, check_extraction, check_state])
@pytest.mark.parametrize("kind", ["cross_stitch", "nddr", "sluice"])
def test_what_holds_for_every_strategy_holds(tmp_path: Path, kind: str, check: Any) -> None:
    strategy, options = KINDS[kind]
    check(Trial(strategy, {"shared_start": 0.5, "after": "block", **options}), tmp_path)


def test_nothing_moves_but_the_one_column(tmp_path: Path) -> None:
    """Weight decay reaches what has no gradient; a clipped gradient is that of one network."""
    begun: list[Tensor] = []

    def look(run: Any) -> None:
        mixing = [p.detach() for p in run.network.mixers.parameters()]
        assert equal(mixing, begun)
        each = columns(run.network)
        assert all(equal(each[0], other) for other in each[1:])

    recipe = {
        "optimizer": {"name": "adamw"},
        "weight_decay": 0.5,
        "unused_weights": "move",
        "clip": 0.01,
        "average": {"name": "ema", "decay": 0.5},
    }
    config = {"training": recipe, "iterations": 4}
    trial = Trial(Sluice, {"shared_start": 0.99, "subspaces": 1}, config)
    run = trial.start(tmp_path / "run", look)
    begun += [p.detach().clone() for p in run.network.get_submodule("mixers").parameters()]
    run.execute()


@pytest.mark.parametrize("moments", ["new", "copy"])
def test_columns_that_part_have_new_moments_or_copies(tmp_path: Path, moments: str) -> None:
    options = {"shared_start": 0.5, "shared_start_moments": moments, "after": "block"}
    run = Trial(CrossStitch, options, {"iterations": 8}).start(tmp_path / "run")
    strategy = run.strategy
    assert isinstance(strategy, CrossStitch)
    assert strategy.shared_start is not None
    training = strategy.optimize(run)
    for _ in range(3):
        next(training)
    state, network = strategy.optimizer.state, strategy.network
    for unit, weights in enumerate(network.weights_per_unit):
        assert all(p in state for p in network.bank_parameters(unit, 0))
        assert not any(p in state for p in network.bank_parameters(unit, weights - 1))
    strategy.shared_start._part()
    for unit, weights in enumerate(network.weights_per_unit):
        every = [network.bank_parameters(unit, weight) for weight in range(weights)]
        for same in zip(*every, strict=True):
            if moments == "new":
                assert not any(parameter in state for parameter in same)
            else:
                first = state[same[0]]["exp_avg"]
                assert all(torch.equal(state[parameter]["exp_avg"], first) for parameter in same)
