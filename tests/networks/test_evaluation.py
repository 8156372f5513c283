"""Evaluation: the figures themselves, and what it must leave alone."""

import random

import numpy as np
import pytest
import torch
from support.tiny import SoftModel, TinyNet, tiny_suite
from support.typed import stored
from torch import Tensor, nn

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.tasks import Classification, Examples, Regression, Suite, Task
from mtl_framework.networks.evaluation import Evaluation, evaluate
from mtl_framework.networks.model import MultiTaskModel, ParameterCounts
from mtl_framework.support.seeding import (
    derive_seed,
    generator_states,
    restore_generators,
    seed_everything,
    untouched_generators,
)

CPU = torch.device("cpu")


class Parrot(MultiTaskModel):
    """Answers with its inputs, so that data decides every figure."""

    def __init__(self, suite: Suite) -> None:
        super().__init__(suite.tasks)
        self.modes: set[bool] = set()
        self.rows: list[int] = []
        self.part = nn.Dropout(0.5)

    def predict(self, task: int, inputs: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.modes |= {self.training, self.part.training}
        self.rows.append(len(inputs))
        torch.rand(1), random.random(), np.random.rand()
        return inputs[:, : self.tasks[task].objective.num_outputs]

    def extract(self, task: int) -> nn.Module:
        raise NotImplementedError

    def sharing(self) -> None:
        return None

    def parameter_counts(self) -> ParameterCounts:
        return ParameterCounts(0, 0)


def classes(answers: list[int], targets: list[int]) -> Examples:
    return Examples(torch.eye(3)[answers], torch.tensor(targets))


def numbers(answers: list[float], targets: list[float]) -> Examples:
    inputs = torch.zeros(len(answers), 3)
    inputs[:, 0] = torch.tensor(answers)
    return Examples(inputs, torch.tensor(targets))


def test_figures_by_hand() -> None:
    a = classes([0, 1, 2, 0, 1, 2, 0, 1], [0, 1, 2, 0, 1, 2, 0, 2])  # 1 of 8 wrong
    b = classes([0, 1], [1, 1])  # 1 of 2 wrong
    suite = Suite(
        "s", [Task("a", Classification(3), a, a, b), Task("b", Classification(3), b, b, a)]
    )
    found = evaluate(Parrot(suite), suite, 7, CPU, batch_size=3)
    assert found.iteration == 7
    assert list(found.splits) == ["validation", "test"]
    test = found.splits["test"]
    assert test.per_task == {"a": 12.5, "b": 50.0}
    assert test.error_mean == 31.25
    assert test.error_pooled == 20.0
    right, wrong = torch.tensor([1.0, 0, 0]).log_softmax(0)[:2].neg().tolist()
    assert test.loss_per_task["a"] == pytest.approx((7 * right + wrong) / 8)
    assert test.loss_per_task["b"] == pytest.approx((right + wrong) / 2)
    assert found.splits["validation"].per_task == {"a": 50.0, "b": 12.5}


def test_root_mean_squares_are_pooled_before_the_root() -> None:
    a, b = numbers([0, 0, 0], [1, 1, 1]), numbers([0], [3])
    suite = Suite("s", [Task("a", Regression(), a, a), Task("b", Regression(), b, b)])
    test = evaluate(Parrot(suite), suite, 1, CPU, 2).splits["test"]
    assert test.per_task == {"a": 1.0, "b": 3.0}
    assert test.error_mean == 2.0
    assert test.error_pooled == pytest.approx((12 / 4) ** 0.5)


def test_metrics_that_differ_are_not_pooled() -> None:
    a, b = classes([0, 1], [0, 0]), numbers([0], [3])
    suite = Suite("s", [Task("a", Classification(3), a, a), Task("b", Regression(), b, b)])
    test = evaluate(Parrot(suite), suite, 1, CPU, 2).splits["test"]
    assert test.error_pooled is None
    assert test.error_mean is None


def test_validation_counts_only_where_every_task_has_it() -> None:
    a = classes([0, 1], [0, 0])
    suite = Suite("s", [Task("a", Classification(3), a, a, a), Task("b", Classification(3), a, a)])
    assert list(evaluate(Parrot(suite), suite, 1, CPU, 2).splits) == ["test"]


def test_batches_hold_at_most_the_rows_asked_for_and_change_nothing() -> None:
    suite = tiny_suite()
    backbone = build_backbone(BackboneConfig(name="tiny"), 1, (4, 4), TinyNet)
    network = SoftModel(backbone, suite)
    whole = evaluate(network, suite, 1, CPU, 1000)
    parts = evaluate(network, suite, 1, CPU, 3)
    for split, metrics in whole.splits.items():
        assert parts.splits[split].per_task == metrics.per_task
        assert parts.splits[split].loss_per_task == pytest.approx(metrics.loss_per_task, rel=1e-5)
    a = classes([0] * 5, [0] * 5)
    parrot = Parrot(Suite("s", [Task("a", Classification(3), a, a)]))
    evaluate(parrot, Suite("s", parrot.tasks), 1, CPU, 2)
    assert parrot.rows == [2, 2, 1]


@pytest.mark.long
def test_many_examples_are_added_in_double_precision() -> None:
    a = numbers([0.0] * 200_001, [1e4] + [1e-3] * 200_000)
    suite = Suite("s", [Task("a", Regression(), a, a)])
    test = evaluate(Parrot(suite), suite, 1, CPU, 1024).splits["test"]
    assert test.loss_per_task["a"] == pytest.approx((1e8 + 0.2) / 200_001, rel=1e-9)


def test_modes_and_generators_are_as_before() -> None:
    suite = tiny_suite()
    parrot = Parrot(suite)
    parrot.train()
    parrot.part.eval()  # a part that its strategy keeps frozen
    seed_everything(3)
    before = (torch.get_rng_state(), str(np.random.get_state()))
    found = evaluate(parrot, Suite("s", [plain(task) for task in suite.tasks]), 1, CPU, 4)
    assert isinstance(found, Evaluation)
    assert parrot.modes == {False}
    assert parrot.training
    assert not parrot.part.training
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]


def plain(task: Task) -> Task:
    test = Examples(stored(task.test).flatten(1).float(), task.test.targets)
    return Task(task.name, task.objective, test, test, test)


def draw() -> list[float]:
    return [float(torch.rand(1)), random.random(), random.gauss(), float(np.random.normal())]


def test_generator_states_bring_back_every_draw() -> None:
    seed_everything(1)
    draw()  # so that python and numpy hold a second normal number back
    states = generator_states(CPU)
    first = draw()
    restore_generators(states, CPU)
    assert draw() == first
    with untouched_generators(CPU):
        inside = draw()
    assert draw() == inside


def test_streams_of_one_seed_and_of_near_seeds_differ() -> None:
    found = [derive_seed(s, use) for s in range(50) for use in ("weights", "batches", "strategy")]
    assert len(set(found)) == 150
    assert derive_seed(0, "batches") == derive_seed(0, "batches")
