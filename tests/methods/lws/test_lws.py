"""Learned weight sharing against plain loops, its limiting cases, and a problem with a solution."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mtl_baselines.ends import FullSharing, NoSharing
from mtl_baselines.fixed import FixedConfig
from mtl_lws.config import LwsConfig
from mtl_lws.strategy import LearnedWeightSharing
from pydantic import ValidationError
from support.dense import binary_suite, dense_backbone
from support.makers import make_batch
from support.tiny import TinyPlugins, tiny_config
from support.typed import tensor
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.runs.checkpoint import load_state, save_state
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError
from mtl_framework.testing.oracle import Oracle

CLOSE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}


def binary_batch(tasks: int, seed: int = 0, sizes: int | list[int] = 6) -> Batch:
    """Random inputs; labels 0 and 1."""
    batch = make_batch(binary_suite(tasks).tasks, sizes, seed)
    generator = torch.Generator().manual_seed(seed)
    targets = [torch.randint(0, 2, (len(x),), generator=generator) for x in batch.inputs]
    return Batch(batch.inputs, tuple(targets))


def build(tasks: int = 3, seed: int = 0, norm: bool = True, **options: Any) -> LearnedWeightSharing:
    torch.manual_seed(seed)
    strategy = LearnedWeightSharing(LwsConfig(**options), seed)
    strategy.build(dense_backbone(norm=norm), binary_suite(tasks)).double()
    return strategy


def next_samples(strategy: LearnedWeightSharing, n: int) -> Tensor:
    """The assignments that the strategy is about to draw."""
    generator = torch.Generator()
    generator.set_state(strategy.generator.get_state())
    return strategy.distribution.sample(n, generator)


def buffers(network: nn.Module) -> dict[str, Tensor]:
    return {n: b.clone() for n, b in network.named_buffers() if n != "assignment"}


def parameters(network: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in network.named_parameters()}


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


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

    def weight_step(self, batch: Batch) -> Tensor:
        self.seen.append(("weights", batch))
        return super().weight_step(batch)


def test_a_run_searches_then_trains_each_time_with_a_fresh_batch(tmp_path: Path) -> None:
    config = tiny_config("recording", iterations=3, eval_every=3)
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


# -- limiting cases -----------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["paper", "usage"])
def test_one_weight_a_unit_is_full_sharing_exactly(scaling: str) -> None:
    # with four tasks and one sample both ways of averaging round alike
    lws = build(4, weights_per_unit=1, weight_samples=1, gradient_scaling=scaling)
    torch.manual_seed(0)
    full = FullSharing(FixedConfig(gradient_scaling=scaling))
    full.build(dense_backbone(norm=True), binary_suite(4)).double()
    assert_equal(parameters(lws.network), parameters(full.network))
    for seed in range(5):
        lws.search_step(binary_batch(4, 100 + seed))
        assert torch.equal(
            lws.weight_step(binary_batch(4, seed)), full.weight_step(binary_batch(4, seed))
        )
    assert_equal(parameters(lws.network), parameters(full.network))
    assert_equal(buffers(lws.network), buffers(full.network))


def test_more_samples_of_full_sharing_change_running_averages_only() -> None:
    one = build(4, weights_per_unit=1, weight_samples=1)
    eight = build(4, weights_per_unit=1, weight_samples=8)
    for seed in range(3):
        one.weight_step(binary_batch(4, seed))
        eight.weight_step(binary_batch(4, seed))
    assert_equal(parameters(eight.network), parameters(one.network))
    name = "model.one.copies.0.1.running_mean"
    assert not torch.equal(buffers(one.network)[name], buffers(eight.network)[name])


@pytest.mark.parametrize("scaling", ["paper", "usage"])
def test_own_weights_with_certainty_are_no_sharing_exactly(scaling: str) -> None:
    identity = torch.eye(4).tolist()
    lws = build(
        4,
        weight_samples=1,
        initial_distribution=identity,
        nes_learning_rate=0.0,
        p_min=0.0,
        gradient_scaling=scaling,
    )
    torch.manual_seed(0)
    none = NoSharing(FixedConfig(gradient_scaling=scaling))
    none.build(dense_backbone(norm=True), binary_suite(4)).double()
    assert_equal(parameters(lws.network), parameters(none.network))
    for seed in range(5):
        lws.search_step(binary_batch(4, 100 + seed))
        assert torch.equal(
            lws.weight_step(binary_batch(4, seed)), none.weight_step(binary_batch(4, seed))
        )
    assert_equal(parameters(lws.network), parameters(none.network))
    assert_equal(buffers(lws.network), buffers(none.network))
    assert torch.equal(lws.network.assignment, tensor(none.network.assignment))


# -- options ------------------------------------------------------------------------------------


def test_usage_divides_by_the_expected_share_of_the_tasks() -> None:
    prior = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.25, 0.25]]
    options: dict[str, Any] = {"initial_distribution": prior, "weight_samples": 4}
    paper, usage = build(**options), build(gradient_scaling="usage", **options)
    for strategy in (paper, usage):
        strategy.weight_step(binary_batch(3))
    plain = {n: p.grad for n, p in paper.network.named_parameters() if p.grad is not None}
    scaled = {n: p.grad for n, p in usage.network.named_parameters() if p.grad is not None}
    assert set(plain) == set(scaled)
    assert any("copies.2" in name for name in plain)
    users = [0.7 + 0.1 + 0.5, 0.2 + 0.3 + 0.25, 0.1 + 0.6 + 0.25]
    for name, gradient in plain.items():
        factor = 1.0  # layers that all tasks share
        if "copies" in name:
            factor = 3 / users[int(name.split(".copies.")[1][0])]
        elif "heads" in name:
            factor = 3.0
        torch.testing.assert_close(scaled[name], factor * gradient, **CLOSE)


def test_only_momentum_moves_weights_that_no_sample_uses() -> None:
    """The first step uses weight 0 alone, the second weight 1 alone."""
    moved = {}
    for unused in ("skip", "momentum"):
        strategy = build(weights_per_unit=2, unused_weights=unused)
        for weight in (0, 1):
            pi = torch.zeros(2, 3, 2, dtype=torch.float64)
            pi[..., weight] = 1
            strategy.distribution.load_state_dict({"pi": pi})
            before = parameters(strategy.network)
            strategy.weight_step(binary_batch(3, weight))
            if weight == 0:  # what has never had a gradient has no momentum either
                name = "model.one.copies.1.0.weight"
                assert torch.equal(parameters(strategy.network)[name], before[name])
                # nor does Adam count the step, which would change its bias correction later
                assert strategy.network.get_parameter(name) not in strategy.optimizer.state
        name = "model.one.copies.0.0.weight"
        moved[unused] = not torch.equal(parameters(strategy.network)[name], before[name])
    assert moved == {"skip": False, "momentum": True}


@pytest.mark.parametrize(
    ("options", "pretrained", "variance"),
    [
        ({}, False, 1),  # the default: PyTorch's own
        ({}, True, 1),
        ({"initialization": "he_uniform"}, False, 6),
        ({"initialization": None}, False, 6),  # as runs from before November 2026 say it
        ({"initialization": None}, True, 1),
    ],
)
def test_initialization_is_the_librarys_unless_asked(
    options: dict[str, Any], pretrained: bool, variance: int
) -> None:
    backbone = dense_backbone(inputs=600)
    recipe = dataclasses.replace(backbone.recipe, pretrained=pretrained)
    strategy = LearnedWeightSharing(LwsConfig(**options))
    strategy.build(dataclasses.replace(backbone, recipe=recipe), binary_suite(2, inputs=600))
    largest = float(strategy.network.model.get_parameter("stem.0.weight").detach().abs().max())
    bound = (variance / 600) ** 0.5
    assert 0.9 * bound < largest <= bound


def test_prior_knowledge_is_where_the_search_starts() -> None:
    matrix = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    strategy = build(weights_per_unit=2, initial_distribution=matrix)
    torch.testing.assert_close(
        strategy.distribution.pi, torch.tensor([matrix] * 2, dtype=torch.float64)
    )
    assert strategy.network.assignment.tolist() == [[0, 1, 0]] * 2
    other = [[0.1, 0.9], [1.0, 0.0], [0.5, 0.5]]
    strategy = build(weights_per_unit=2, initial_distribution=[matrix, other])
    assert strategy.network.assignment.tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nes_samples": 1}, "at least 2: the utilities of a single sample divide by zero"),
        ({"weights_per_unit": 0}, "greater than or equal to 1"),
        ({"weights_per_unit": 4, "p_min": 0.25}, r"p_min below 1 / weights_per_unit = 0.25, found"),
        ({"weight_samples": 0}, "greater than or equal to 1"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"credit": "all"}, "'joint', 'task' or 'unit'"),
        ({"weights": 3}, "Extra inputs"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LwsConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p_min": 0.4}, r"strategy should have p_min below 1 / weights_per_unit = 0.3333"),
        ({"initial_distribution": [[1.0, 0.0]]}, "3 tasks x 3 weights, .* found 1 x 2"),
        ({"initial_distribution": [[1.0], [0.5, 0.5]]}, "rows differ in length"),
        ({"initial_distribution": [[0.5, 0.2, 0.2]] * 3}, "of task 0 at unit 0 sum to 0.9"),
        ({"initial_distribution": [[1.5, -0.5, 0.0]] * 3}, "is -0.5"),
    ],
)
def test_options_that_do_not_fit_the_suite_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(MtlError, match=message):
        build(**options)


def test_presets_are_valid_runs() -> None:
    for preset in LearnedWeightSharing.presets.values():
        config = RunConfig.model_validate(preset)
        assert config.strategy.name == "lws"
        options = LwsConfig(**config.strategy.options)
        assert options == LwsConfig()


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


# -- a problem with a solution ------------------------------------------------------------------


def opposite_labels(generator: torch.Generator, direction: Tensor) -> Batch:
    """Tasks 0 and 1 ask for the side of a plane that an input lies on, 2 and 3 for the other."""
    inputs = tuple(torch.randn(16, 6, generator=generator) for _ in range(4))
    targets = tuple(((x @ direction > 0) ^ (task >= 2)).long() for task, x in enumerate(inputs))
    return Batch(inputs, targets)


def train_on_opposite_labels(seed: int, **options: object) -> tuple[LearnedWeightSharing, float]:
    """One unit with banks. Heads are equal and stay so: they cannot turn a label round."""
    torch.manual_seed(seed)
    config = LwsConfig(learning_rate=1e-2, nes_learning_rate=0.1, **options)
    strategy = LearnedWeightSharing(config, seed)
    suite: Suite = binary_suite(4)
    network = strategy.build(dense_backbone(shared=("stem", "one")), suite)
    for head in network.heads:
        head.load_state_dict(network.heads[0].state_dict())
        head.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(6, generator=generator)
    for _ in range(150):
        strategy.search_step(opposite_labels(generator, direction))
        strategy.weight_step(opposite_labels(generator, direction))
    network.eval()
    wrong = []
    for _ in range(20):
        batch = opposite_labels(generator, direction)
        for task in range(4):
            outputs = network.predict(task, batch.inputs[task])
            scores = suite.tasks[task].objective.scores(outputs, batch.targets[task])
            wrong.append(float(scores.mean()))
    return strategy, sum(wrong) / len(wrong)


@pytest.mark.parametrize(
    ("seed", "credit"), [(0, "joint"), (1, "joint"), (2, "joint"), (0, "task")]
)
def test_tasks_with_opposite_labels_are_told_apart(seed: int, credit: str) -> None:
    strategy, error = train_on_opposite_labels(seed, weights_per_unit=2, credit=credit)
    a, b, c, d = strategy.network.assignment[0].tolist()
    assert a == b != c == d
    assert strategy.distribution.entropy() < 0.1
    assert error < 10


def test_without_a_choice_opposite_labels_cannot_be_learned() -> None:
    _, error = train_on_opposite_labels(0, weights_per_unit=1)
    assert error > 40
