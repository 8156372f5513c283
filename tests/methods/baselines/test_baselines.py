"""Baselines: which weights tasks share, and that nothing else couples them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_baselines.ends import FullSharing, NoSharing
from mtl_baselines.fixed import FixedConfig, FixedStrategy
from mtl_baselines.given import FixedSharing, FixedSharingConfig
from pydantic import ValidationError
from support.dense import binary_suite, dense_backbone
from support.makers import make_batch
from support.tiny import TinyPlugins, tiny_config
from torch import Tensor

from mtl_framework import TrainingConfig, renumber
from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.evaluation import SplitMetrics
from mtl_framework.networks.model import ParameterCounts
from mtl_framework.networks.result import Assignment, Result
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.runs.config import RunConfig
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError

CLOSE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}


def binary_batch(tasks: int, seed: int = 0) -> Batch:
    batch = make_batch(binary_suite(tasks).tasks, 5, seed)
    generator = torch.Generator().manual_seed(seed)
    targets = [torch.randint(0, 2, (len(x),), generator=generator) for x in batch.inputs]
    return Batch(batch.inputs, tuple(targets))


def build(strategy: FixedStrategy, tasks: int = 3, norm: bool = True) -> FixedStrategy:
    torch.manual_seed(0)
    strategy.build(dense_backbone(norm=norm), binary_suite(tasks)).double()
    return strategy


def fixed(tasks: int = 3, **options: object) -> FixedStrategy:
    return build(FixedSharing(FixedSharingConfig(**options)), tasks)


def banked(strategy: FixedStrategy) -> TaskNetworks:
    """The strategy's networks, all of which have the backbone in common."""
    assert isinstance(strategy.network, TaskNetworks)
    return strategy.network


def gradients(strategy: FixedStrategy) -> dict[str, Tensor]:
    named = strategy.network.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


# -- the two ends -------------------------------------------------------------------------------


def test_full_sharing_has_one_weight_a_unit() -> None:
    network = banked(build(FullSharing()))
    assert network.weights_per_unit == (1, 1)
    assert network.assignment.tolist() == [[0, 0, 0]] * 2


def test_no_sharing_has_a_weight_for_every_unit_and_task() -> None:
    network = banked(build(NoSharing()))
    assert network.weights_per_unit == (3, 3)
    assert network.assignment.tolist() == [[0, 1, 2]] * 2


def test_own_weights_get_nothing_from_the_losses_of_other_tasks() -> None:
    network = banked(build(NoSharing()))
    for task in range(3):
        network.zero_grad()
        weights = torch.zeros(1, 3, dtype=torch.float64)
        weights[0, task] = 1
        network.accumulate_gradients(binary_batch(3), network.assignment[None], weights)
        for other in range(3):
            parts = network.head_parameters(other)
            for unit in range(2):
                parts = parts + network.bank_parameters(unit, other)
            got = [p.grad is not None and bool(p.grad.any()) for p in parts]
            assert any(got) if other == task else not any(got)


def test_without_a_stem_no_sharing_is_separate_training() -> None:
    """Changing one task's examples changes that task's weights, and no other's."""

    def trained(changed: bool) -> FixedStrategy:
        torch.manual_seed(0)
        strategy = NoSharing()
        strategy.build(dense_backbone(shared=(), norm=True), binary_suite(3)).double()
        for seed in range(3):
            batch = binary_batch(3, seed)
            if changed:
                inputs = (batch.inputs[0] + 1, *batch.inputs[1:])
                batch = Batch(inputs, batch.targets)
            strategy.weight_step(batch)
        return strategy

    one, other = trained(False).network.eval(), trained(True).network.eval()
    inputs = binary_batch(3).inputs[0]
    for task in range(3):
        assert torch.equal(one.predict(task, inputs), other.predict(task, inputs)) == (task > 0)


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({"pattern": {"*": "shared"}}, FullSharing),
        ({"pattern": {"*": "own"}}, NoSharing),
        ({"matrix": [[4, 4, 4], [0, 0, 0]]}, FullSharing),
        ({"shared_first": 2}, FullSharing),
        ({"shared_first": 0}, NoSharing),
    ],
)
def test_a_fixed_assignment_can_be_either_end(
    options: dict[str, Any], end: type[FixedStrategy]
) -> None:
    strategies = [fixed(**options), build(end())]
    for strategy in strategies:
        for seed in range(3):
            strategy.weight_step(binary_batch(3, seed))
    states = [strategy.network.state_dict() for strategy in strategies]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


# -- steps --------------------------------------------------------------------------------------


def test_a_step_is_one_of_adam_along_the_mean_of_the_tasks_losses() -> None:
    strategy = fixed(matrix=[[0, 0, 1], [0, 1, 2]])
    network, batch = banked(strategy).train(), binary_batch(3)
    network.losses(batch, network.assignment[None]).mean().backward()
    expected = gradients(strategy)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    network.eval()
    losses = strategy.weight_step(batch)
    assert losses.shape == (1, 3)
    assert network.training
    for name, p in network.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(p.grad, expected[name], **CLOSE)
        moved = before[name] - 1e-3 * p.grad / (p.grad.abs() + 1e-8)
        torch.testing.assert_close(p.detach(), moved, rtol=1e-7, atol=1e-9)


def test_usage_divides_by_the_number_of_users() -> None:
    matrix = [[0, 0, 1], [0, 1, 2]]
    paper = fixed(matrix=matrix)
    usage = fixed(matrix=matrix, gradient_scaling="usage")
    for strategy in (paper, usage):
        strategy.weight_step(binary_batch(3))
    plain, scaled = gradients(paper), gradients(usage)
    for name, gradient in plain.items():
        factor = 1.0
        if name.startswith("model.one.copies"):
            factor = {"0": 1.5, "1": 3.0}[name.split(".")[3]]
        elif name.startswith(("model.two.copies", "heads")):
            factor = 3.0
        torch.testing.assert_close(scaled[name], factor * gradient, **CLOSE)


@pytest.mark.parametrize("scaling", ["paper", "usage"])
def test_accumulated_gradients_are_scaled_once(scaling: str) -> None:
    """Two steps on one batch that move the weights together are one step on it."""
    moved = []
    for accumulate in (1, 2):
        strategy = fixed(matrix=[[0, 0, 1], [0, 1, 2]], gradient_scaling=scaling)
        strategy.optimizer.training = TrainingConfig(accumulate=accumulate)
        for _ in range(accumulate):
            strategy.weight_step(binary_batch(3))
        moved.append(gradients(strategy))
    for name, gradient in moved[0].items():
        torch.testing.assert_close(moved[1][name], gradient, **CLOSE)


class Recording(FullSharing):
    """Keeps the batches."""

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        self.seen: list[Batch] = []
        return super().build(backbone, suite)

    def weight_step(self, batch: Batch) -> Tensor:
        self.seen.append(batch)
        return super().weight_step(batch)


def test_a_run_uses_one_fresh_batch_an_iteration(tmp_path: Path) -> None:
    config = tiny_config("recording", iterations=3, eval_every=3)
    run = Run.start(config, TinyPlugins(recording=Recording), tmp_path / "run")
    run.execute()
    strategy = run.strategy
    assert isinstance(strategy, Recording)
    one, two, three = (batch.inputs[0] for batch in strategy.seen)
    assert not torch.equal(one, two)
    assert not torch.equal(one, three)
    assert not torch.equal(two, three)


# -- where the assignment comes from ------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"pattern": {"one": "shared", "*": "own"}}, [[0, 0, 0], [0, 1, 2]]),
        ({"pattern": {"t*": [7, 2, 7], "one": "own"}}, [[0, 1, 2], [1, 0, 1]]),
        ({"pattern": {"*": "shared", "two": "own"}}, [[0, 0, 0], [0, 0, 0]]),
        ({"matrix": [[5, 5, 9], [3, 1, 2]]}, [[0, 0, 1], [2, 0, 1]]),
        ({"shared_first": "half"}, [[0, 0, 0], [0, 1, 2]]),
        ({"shared_first": 1}, [[0, 0, 0], [0, 1, 2]]),
    ],
)
def test_assignments_are_as_given(options: dict[str, Any], expected: list[list[int]]) -> None:
    network = banked(fixed(**options))
    assert network.assignment.tolist() == expected
    assert network.weights_per_unit == tuple(len(set(row)) for row in expected)


def test_renumbering_keeps_who_shares() -> None:
    found = renumber(torch.tensor([[9, 2, 9, 4], [1, 1, 1, 1]]))
    assert found.tolist() == [[2, 0, 2, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": {"ones": "shared", "*": "own"}}, "unknown unit in pattern 'ones'; .* 'one'"),
        ({"pattern": {"one": "shared"}}, "'two' matches none of one; add '\\*'"),
        ({"pattern": {"*": [0, 1]}}, "pattern '\\*' should have 3 numbers, one a task, found 2"),
        ({"matrix": [[0, 0, 0]]}, "matrix should have 2 rows, one a unit, found 1"),
        ({"matrix": [[0, 0, 0], [0, 1]]}, "matrix row 1 should have 3 numbers"),
        (
            {"matrix": [[0, 0, 0], [0, -1, 1]]},
            "row 1: group numbers should be at least 0, found -1",
        ),
        ({"shared_first": 3}, "'half' or a number from 0 to the 2 units, found 3"),
        ({"shared_first": -1}, "found -1"),
    ],
)
def test_assignments_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MtlError, match=message):
        fixed(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of pattern, matrix, from_run, shared_first, found none"),
        ({"shared_first": 1, "matrix": [[0]]}, "found matrix and shared_first"),
        ({"pattern": {"*": "mine"}}, "'shared' or 'own'"),
    ],
)
def test_there_is_exactly_one_source(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FixedSharingConfig(**options)


def test_presets_are_valid_runs() -> None:
    for strategy, config in (
        (FullSharing, FixedConfig),
        (NoSharing, FixedConfig),
        (FixedSharing, FixedSharingConfig),
    ):
        assert strategy.presets
        for preset in strategy.presets.values():
            run = RunConfig.model_validate(preset)
            assert strategy.Config is config
            config(**run.strategy.options)


# -- from an earlier run ------------------------------------------------------------------------


def result(assignment: Assignment | None) -> Result:
    figures = {"task0": 1.0}
    metrics = SplitMetrics(1.0, None, per_task=figures, loss_per_task=figures)
    return Result(
        strategy="lws",
        backbone="dense",
        suite="binary",
        seed=0,
        iterations=1,
        test=metrics,
        validation=None,
        best=None,
        metrics={"task0": "error %"},
        parameters=ParameterCounts(1, 1),
        assignment=assignment,
        seconds=1.0,
        seconds_per_iteration=1.0,
        peak_memory=None,
        versions={},
        device="cpu",
        threads=1,
    )


TASKS = ("task0", "task1", "task2")


@pytest.mark.parametrize("file", ["", "result.json"])
def test_what_a_run_found_can_be_trained_again(file: str, tmp_path: Path) -> None:
    found = Assignment(("one", "two"), TASKS, ((2, 0, 2), (1, 1, 1)))
    result(found).save(tmp_path / "result.json")
    network = banked(fixed(from_run=str(tmp_path / file)))
    assert network.assignment.tolist() == [[1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (None, "holds no assignment"),
        (Assignment(("one", "tow"), TASKS, ((0, 0, 0),) * 2), "unit 1 is 'tow' in .* 'two' in"),
        (Assignment(("one",), TASKS, ((0, 0, 0),)), r"has 1 units \(one\), this run has 2"),
        (Assignment(("one", "two"), TASKS[:2], ((0, 0),) * 2), "has 2 tasks .* this run has 3"),
        (
            Assignment(("one", "two"), (*TASKS[:2], "x"), ((0, 0, 0),) * 2),
            "task 2 is 'x' in .* 'task2' in this run",
        ),
    ],
)
def test_runs_of_something_else_are_refused(
    assignment: Assignment | None, message: str, tmp_path: Path
) -> None:
    result(assignment).save(tmp_path / "result.json")
    with pytest.raises(MtlError, match=message):
        fixed(from_run=str(tmp_path))


def test_a_run_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match="nothing-here"):
        fixed(from_run=str(tmp_path / "nothing-here"))
