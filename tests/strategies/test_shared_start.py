"""A shared start trains one weight of every unit, and goes on with copies of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_baselines.ends import FullSharing, NoSharing
from mtl_lws.config import LwsConfig
from mtl_lws.roaming import Roaming, RoamingConfig
from mtl_lws.strategy import LearnedWeightSharing
from pydantic import ValidationError
from support.tiny import TinyPlugins, content, finish, start
from torch import Tensor

from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.resolve import Layer, former, resolve
from mtl_framework.runs.run import Run
from mtl_framework.strategies.shared_start import SharedStart
from mtl_framework.strategies.strategy import Strategy

LEARNED: dict[str, Any] = {"name": "learned", "shared_start": 0.5}
RECIPE: dict[str, Any] = {"average": {"name": "ema", "decay": 0.5}}


def plugins() -> TinyPlugins:
    return TinyPlugins(full=FullSharing, none=NoSharing, roaming=Roaming)


class Counted:
    """A run of which a test says which iteration it is in."""

    iteration = 0

    def __init__(self, run: Run) -> None:
        self.run, self.iterations = run, run.iterations

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)


def steps(folder: Path, **options: Any) -> Iterator[tuple[int, Any]]:
    """Yield a run's strategy after each of its steps, with the iteration."""
    run = start(folder, plugins(), **options)
    counted: Any = Counted(run)
    training = run.strategy.optimize(counted)
    for number in range(1, run.iterations + 1):
        next(training)
        counted.iteration = number
        yield number, run.strategy


def weights(network: TaskNetworks, weight: int) -> list[Tensor]:
    return [p.detach().clone() for u in range(2) for p in network.bank_parameters(u, weight)]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["none", "learned", "roaming"])
def test_half_of_the_run_trains_the_first_weight_alone(tmp_path: Path, name: str) -> None:
    strategy_options = {"name": name, "shared_start": 0.5}
    begun: list[Tensor] = []
    shared: list[Tensor] = []
    for number, strategy in steps(tmp_path / "run", strategy=strategy_options):
        network = strategy.network
        if number == 1:
            begun, shared = weights(network, 1), weights(network, 0)
        elif number <= 3:  # half of six iterations
            assert equal(weights(network, 1), begun)
            assert not equal(weights(network, 0), shared)
            assert network.assignment.tolist() == [[0, 0], [0, 0]]
            shared = weights(network, 0)
        elif number == 6:
            ways = [weights(network, 0), weights(network, 1)]
            assert not equal(ways[0], ways[1])
            # two copies that took three small steps lie nearer to each other than to chance
            apart = torch.cat([(a - b).flatten() for a, b in zip(*ways, strict=True)]).norm()
            chance = torch.cat([(a - b).flatten() for a, b in zip(begun, shared, strict=True)])
            assert apart < 0.3 * chance.norm()
    if name == "none":
        assert strategy.network.assignment.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_parting_changes_no_output_and_copies_moments(tmp_path: Path, optimizer: str) -> None:
    training = {"optimizer": {"name": optimizer}, **RECIPE}
    options = {"name": "none", "shared_start": 0.5}
    training_steps = steps(tmp_path / "run", strategy=options, training=training)
    strategy = [next(training_steps)[1] for _ in range(3)][-1]
    network = strategy.network.eval()
    inputs = torch.rand(5, 1, 4, 4)
    before = [network.predict(task, inputs) for task in range(2)]
    parting = SharedStart(0.5)
    now: Any = Counted(start(tmp_path / "other", plugins(), strategy=options))
    now.iteration = 3
    afterwards = torch.tensor([[0, 1], [1, 0]])
    assert not parting.is_on(now, network, strategy.optimizer, afterwards)
    assert torch.equal(network.assignment, afterwards)
    for task in range(2):
        assert torch.equal(network.predict(task, inputs), before[task])
    state = strategy.optimizer.state
    for unit in range(2):
        pairs = zip(network.bank_parameters(unit, 0), network.bank_parameters(unit, 1), strict=True)
        for old, new in pairs:
            assert state[old].keys() == state[new].keys() != set()
            for key, value in state[old].items():
                if isinstance(value, Tensor):
                    assert value is not state[new][key]
                    assert torch.equal(value, state[new][key])
    means = [m.running_mean for m in network.modules() if hasattr(m, "running_mean")]
    assert len(means) > 1
    assert torch.equal(means[0], means[1])


@pytest.mark.parametrize("name", ["none", "learned", "roaming"])
def test_weights_that_part_can_begin_with_new_moments(tmp_path: Path, name: str) -> None:
    """The first step behind it is Adam's first: it moves by the rate, whatever the gradient is."""
    moved = {}
    for moments in ("copy", "new"):
        given = {"name": name, "shared_start": 0.5, "shared_start_moments": moments}
        before: list[Tensor] = []
        for number, strategy in steps(tmp_path / f"{name}-{moments}", strategy=given):
            now = [w for k in range(2) for w in weights(strategy.network, k)]
            if number == 3:
                before = now[: len(now) // 2] * 2  # both become copies of the first
            elif number == 4:
                lengths = torch.cat(
                    [(a - b).abs().flatten() for a, b in zip(now, before, strict=True)]
                )
                rate = strategy.config.learning_rate
                moved[moments] = (lengths[lengths > 0] / rate).median().item()
                states = [
                    strategy.optimizer.state[p]["step"].item()
                    for k in range(2) for u in range(2)
                    for p in strategy.network.bank_parameters(u, k)
                    if p.grad is not None
                ]  # fmt: skip
                assert states
                assert set(states) == ({1.0} if moments == "new" else {4.0})
    assert moved["new"] == pytest.approx(1, abs=0.02)
    assert moved["copy"] < 0.9


def test_it_is_full_sharing_until_then(tmp_path: Path) -> None:
    """From the same weights, a step that shares everything is one of full sharing, bit for bit."""
    full = start(tmp_path / "full", plugins(), strategy={"name": "full"})
    none = start(tmp_path / "none", plugins(), strategy={"name": "none", "shared_start": 0.9})
    mine, theirs = none.strategy.network, full.strategy.network
    assert isinstance(mine, TaskNetworks)
    assert isinstance(theirs, TaskNetworks)
    for task in range(2):
        theirs.load_path(task, [0, 0], mine.extract(task).state_dict())
    for run in (full, none):
        training = run.strategy.optimize(run)
        for _ in range(3):
            next(training)
    assert equal(weights(mine, 0), weights(theirs, 0))


def test_the_search_begins_afterwards(tmp_path: Path) -> None:
    ranked = {"name": "learned", "shared_start": 0.5, "ranked_on": "weight_step"}
    ranked["weight_samples"] = 4
    for options in (LEARNED, ranked, {**LEARNED, "estimator": "gumbel"}):
        folder = tmp_path / f"run{len(options)}{options.get('estimator')}"
        for number, strategy in steps(folder, strategy=options):
            assert isinstance(strategy, LearnedWeightSharing)
            moved = not torch.equal(strategy.distribution.pi, torch.full((2, 2, 2), 0.5).double())
            assert number > 3 or not moved
        assert moved


def test_a_rate_that_rises_begins_to_rise_when_the_search_does(tmp_path: Path) -> None:
    options = {**LEARNED, "nes_schedule": "rise", "freeze_after": 0.9}
    run = start(tmp_path / "run", plugins(), strategy=options)
    strategy = run.strategy
    assert isinstance(strategy, LearnedWeightSharing)
    assert strategy.hardening is not None
    rates = [strategy.hardening.rate(0.1, done) for done in (0.5, 0.7, 0.9)]
    assert rates == pytest.approx([0, 0.1, 0.2])


def test_the_search_must_have_time() -> None:
    with pytest.raises(ValidationError, match=re.escape("freeze_after above shared_start = 0.5")):
        LwsConfig(shared_start=0.5, freeze_after=0.5)


def test_tasks_roam_between_a_shared_start_and_the_end() -> None:
    assert RoamingConfig(shared_start=0.2).settles == 0.5
    assert RoamingConfig(shared_start=0.6).settles == pytest.approx(0.2)
    assert RoamingConfig(settle=1.0).settles == 1
    for settle in (0.4, 0.6):
        with pytest.raises(ValidationError, match=re.escape("settle below 0.4, which is what")):
            RoamingConfig(shared_start=0.6, settle=settle)


@pytest.mark.parametrize("name", ["none", "learned", "roaming"])
@pytest.mark.parametrize("stop", [2, 3, 4])
def test_stopped_runs_go_on_as_if_they_had_not_been(tmp_path: Path, name: str, stop: int) -> None:
    options: dict[str, Any] = {"strategy": {"name": name, "shared_start": 0.5}, "training": RECIPE}
    start(tmp_path / "whole", plugins(), **options).execute()
    finish(start(tmp_path / "parts", plugins(), **options), stop_at=stop)
    start(tmp_path / "parts", plugins(), resume=True, **options).execute()
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_an_extended_run_is_told_that_the_start_was_shorter(tmp_path: Path) -> None:
    for name in ("none", "learned", "roaming"):
        run = start(tmp_path / name, plugins(), strategy={"name": name, "shared_start": 0.5})
        assert isinstance(run.strategy, Strategy)
        assert "strategy.shared_start" in run.strategy.length_options()
        run.execute()
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        assert len([line for line in map(json.loads, lines) if "loss" in line]) == 6


@pytest.mark.parametrize("name", ["lws", "no_sharing", "roaming", "cross_stitch"])
def test_saved_runs_part_with_copies_of_moments_as_they_did(name: str) -> None:
    found = Plugins.load()
    given = {"strategy": {"name": name, "shared_start": 0.3}, "suite": "alphabets"}
    saved = resolve(found, [Layer(given)]).config.model_dump(mode="json")
    now = saved["strategy"].pop("shared_start_moments", None)
    assert now == "new"
    before = former(Layer(saved), found)
    options = resolve(found, [before]).config.strategy.options
    assert options["shared_start_moments"] == "copy"
