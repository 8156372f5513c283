"""Learned weight sharing against plain loops, its limiting cases, and a problem with a solution."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mtl_lws.strategy import LearnedWeightSharing
from support.dense import binary_suite, dense_backbone
from support.lws import CLOSE, assert_equal, binary_batch, buffers, build, parameters
from support.tiny import TinyPlugins, tiny_config
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.runs.checkpoint import load_state, save_state
from mtl_framework.runs.run import Run
from mtl_framework.testing.oracle import Oracle


def next_samples(strategy: LearnedWeightSharing, n: int) -> Tensor:
    """The assignments that the strategy is about to draw."""
    generator = torch.Generator()
    generator.set_state(strategy.generator.get_state())
    return strategy.distribution.sample(n, generator)


# -- Algorithm 1 --------------------------------------------------------------------------------


@pytest.mark.parametrize("credit", ["joint", "task"])
@pytest.mark.parametrize("sizes", [6, [2, 9, 4]])
def test_the_search_step_agrees_with_the_loops(credit: str, sizes: int | list[int]) -> None:
    strategy = build(weights_per_unit=2, nes_samples=5, nes_learning_rate=0.3, credit=credit)
    strategy.weight_step(binary_batch(3))  # running averages that are not the initial ones
    batch = binary_batch(3, 1, sizes)
    assignments = next_samples(strategy, 5)
    expected = Oracle(strategy.network).step(batch, assignments, training=False).losses
    before = strategy.distribution.pi.tolist()
    losses = strategy.search_step(batch)
    torch.testing.assert_close(losses, expected, **CLOSE)
    for unit in range(2):
        for task in range(3):
            own = expected[:, task] if credit == "task" else expected.mean(1)
            # two times (rank - 1), where equal losses share the mean of their ranks
            u = [int((own > x).sum() + (own >= x).sum() - 1) / 4 - 1 for x in own]
            row = []
            for weight in range(2):
                p = before[unit][task][weight]
                total = sum(
                    u[i] * ((int(assignments[i, unit, task]) == weight) - p) for i in range(5)
                )
                row.append(max(p + 0.3 * total / 5, 1e-3))
            found = strategy.distribution.pi[unit, task].tolist()
            assert found == pytest.approx([p / sum(row) for p in row], abs=1e-12)
    assert torch.equal(strategy.network.assignment, strategy.distribution.mode())


@pytest.mark.parametrize(("credit", "price"), [("task", 0.0), ("unit", 0.0), ("task", 0.5)])
def test_a_task_without_labels_does_not_move_its_choices(credit: str, price: float) -> None:
    strategy = build(weights_per_unit=2, ties="first", credit=credit, price=price)
    batch = binary_batch(3)
    labelled = (None, torch.zeros(6, dtype=torch.bool), None)
    before = strategy.distribution.pi.clone()
    for _ in range(20):
        strategy.search_step(Batch(batch.inputs, batch.targets, labelled=labelled))
    assert torch.equal(strategy.distribution.pi[:, 1], before[:, 1])
    assert not torch.equal(strategy.distribution.pi[:, 0], before[:, 0])


def test_the_search_step_trains_nothing() -> None:
    strategy = build()
    network = strategy.network.train()
    statistics, weights = buffers(network), parameters(network)
    strategy.search_step(binary_batch(3))
    assert_equal(buffers(network), statistics)
    assert_equal(parameters(network), weights)
    assert all(p.grad is None for p in network.parameters())


def test_the_weight_step_agrees_with_the_loops() -> None:
    strategy = build(weights_per_unit=2, weight_samples=3)
    batch = binary_batch(3)
    assignments = next_samples(strategy, 3)
    expected = Oracle(strategy.network).step(batch, assignments)
    before, pi = parameters(strategy.network), strategy.distribution.pi.clone()
    losses = strategy.weight_step(batch)
    torch.testing.assert_close(losses, expected.losses, **CLOSE)
    assert set(expected.gradients) <= set(before)
    for name, p in strategy.network.named_parameters():
        if name not in expected.gradients:
            assert p.grad is None
            assert torch.equal(p.detach(), before[name])
            continue
        assert p.grad is not None
        gradient = expected.gradients[name]
        torch.testing.assert_close(p.grad, gradient, **CLOSE)
        # Adam's first step: its moments are the gradient and its square
        moved = before[name] - 1e-3 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(p.detach(), moved, rtol=1e-7, atol=1e-9)
    for name, value in buffers(strategy.network).items():
        torch.testing.assert_close(value, expected.buffers[name], **CLOSE)
    assert torch.equal(strategy.distribution.pi, pi)


def test_after_both_steps_networks_are_in_training_mode_again() -> None:
    strategy = build()
    strategy.search_step(binary_batch(3))
    assert not any(module.training for module in strategy.network.modules())
    strategy.weight_step(binary_batch(3))
    assert all(module.training for module in strategy.network.modules())


def test_assignments_of_both_steps_are_drawn_one_after_the_other() -> None:
    one, other = build(seed=3), build(seed=3)
    for seed in range(3):
        for strategy in (one, other):
            strategy.search_step(binary_batch(3, 2 * seed))
            strategy.weight_step(binary_batch(3, 2 * seed + 1))
    assert_equal(parameters(one.network), parameters(other.network))
    assert torch.equal(one.distribution.pi, other.distribution.pi)
    different = LearnedWeightSharing(one.config, seed=4)
    different.build(dense_backbone(), binary_suite(3))
    assert not torch.equal(next_samples(different, 8), next_samples(build(seed=3), 8))


class Recording(LearnedWeightSharing):
    """Keeps the batches of both steps, and the losses of the search step."""

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        self.seen: list[tuple[str, Batch]] = []
        self.search_losses: list[float] = []
        return super().build(backbone, suite)

    def search_step(self, batch: Batch, rate: float | None = None) -> Tensor:
        self.seen.append(("search", batch))
        losses = super().search_step(batch, rate)
        self.search_losses.append(float(losses.mean()))
        return losses

    def weight_step(self, batch: Batch, rate: float | None = None) -> Tensor:
        self.seen.append(("weights", batch))
        return super().weight_step(batch, rate)


def test_a_run_searches_then_trains_each_time_with_a_fresh_batch(tmp_path: Path) -> None:
    options = {"name": "recording", "shared_start": 0, "freeze_after": 1}
    config = tiny_config(iterations=3, eval_every=3, strategy=options)
    run = Run.start(config, TinyPlugins(recording=Recording), tmp_path / "run")
    result = run.execute()
    strategy = run.strategy
    assert isinstance(strategy, Recording)
    assert [kind for kind, _ in strategy.seen] == ["search", "weights"] * 3
    batches = [batch for _, batch in strategy.seen]
    for i, one in enumerate(batches):
        assert all(not torch.equal(one.inputs[0], other.inputs[0]) for other in batches[:i])
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [line["metrics"] for line in map(json.loads, lines) if "metrics" in line]
    assert [step["nes_loss"] for step in steps] == pytest.approx(strategy.search_losses)
    assert 0 < steps[-1]["entropy"] < math.log(2)
    assert result.assignment is not None
    assert [list(row) for row in result.assignment.weights] == strategy.distribution.mode().tolist()


# -- state --------------------------------------------------------------------------------------


@pytest.mark.parametrize("unused", ["skip", "momentum"])
def test_going_on_from_a_saved_state_changes_nothing(unused: str, tmp_path: Path) -> None:
    def train(strategy: LearnedWeightSharing, seeds: range) -> None:
        for seed in seeds:
            strategy.search_step(binary_batch(3, 2 * seed))
            strategy.weight_step(binary_batch(3, 2 * seed + 1))

    options: dict[str, Any] = {"weights_per_unit": 6, "weight_samples": 1}
    options["unused_weights"] = unused
    straight = build(**options)
    train(straight, range(3))
    save_state(tmp_path / "state", straight.state_dict())
    train(straight, range(3, 6))
    resumed = build(seed=9, **options)
    resumed.load_state_dict(load_state(tmp_path / "state"))
    train(resumed, range(3, 6))
    assert_equal(parameters(resumed.network), parameters(straight.network))
    assert_equal(buffers(resumed.network), buffers(straight.network))
    assert torch.equal(resumed.distribution.pi, straight.distribution.pi)
    assert torch.equal(resumed.generator.get_state(), straight.generator.get_state())
    assert torch.equal(resumed.network.assignment, straight.network.assignment)


# -- several processes --------------------------------------------------------------------------


def train_as_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    strategy = build(weights_per_unit=2, nes_learning_rate=0.3)
    for seed in range(3):
        strategy.search_step(binary_batch(3, 10 * seed + rank))
        strategy.weight_step(binary_batch(3, 10 * seed + 5 + rank))
    torch.save(strategy.distribution.pi, f"{folder}/pi{rank}")
    torch.save(parameters(strategy.network), f"{folder}/parameters{rank}")
    dist.destroy_process_group()


@pytest.mark.long
def test_processes_with_their_own_examples_learn_the_same(tmp_path: Path) -> None:
    spawn(train_as_rank, (str(tmp_path),), nprocs=2)
    pi = [torch.load(tmp_path / f"pi{rank}", weights_only=True) for rank in range(2)]
    found = [torch.load(tmp_path / f"parameters{rank}", weights_only=True) for rank in range(2)]
    assert torch.equal(pi[0], pi[1])
    assert_equal(found[0], found[1])
    alone = build(weights_per_unit=2, nes_learning_rate=0.3)
    for seed in range(3):
        alone.search_step(binary_batch(3, 10 * seed))
        alone.weight_step(binary_batch(3, 10 * seed + 5))
    assert not torch.equal(pi[0], alone.distribution.pi)
