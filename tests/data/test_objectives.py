"""Losses row by row, by hand and against torch; and the objectives that a config can choose."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import (
    Binary,
    Classification,
    Examples,
    GaussianRegression,
    MultiLabel,
    Objective,
    Ordinal,
    PoissonRegression,
    Regression,
    Task,
)
from mtl_framework.data.objectives import choices


def task(objective: Objective, targets: Tensor, labelled: Tensor | None = None) -> Task:
    examples = Examples(torch.zeros(len(targets), 3), targets, labelled)
    return Task("t", objective, examples, examples)


def test_classification_against_torch() -> None:
    outputs, targets = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    plain = F.cross_entropy(outputs, targets, reduction="none")
    assert torch.equal(Classification(3).losses(outputs, targets), plain)
    smooth = Classification(3, label_smoothing=0.3).losses(outputs, targets)
    even = -outputs.log_softmax(1).mean(1)
    torch.testing.assert_close(smooth, 0.7 * plain + 0.3 * even)
    weighted = Classification(3, class_weights=(1.0, 2.0, 0.5)).losses(outputs, targets)
    torch.testing.assert_close(weighted, plain * torch.tensor([1, 2, 0.5])[targets])
    focal = Classification(3, focal_gamma=2.0).losses(outputs, targets)
    torch.testing.assert_close(focal, plain * (1 - torch.exp(-plain)) ** 2)


def test_binary_and_labels_by_hand() -> None:
    logits, targets = torch.tensor([[0.0], [2.0]]), torch.tensor([1, 0])
    plain = [math.log(2), math.log(1 + math.exp(2))]
    assert Binary().losses(logits, targets).tolist() == pytest.approx(plain)
    heavy = Binary(positive_weight=3.0).losses(logits, targets).tolist()
    assert heavy == pytest.approx([3 * plain[0], plain[1]])
    focal = Binary(focal_gamma=2.0).losses(logits, targets).tolist()
    sure = 1 / (1 + math.exp(-2))
    assert focal == pytest.approx([0.25 * plain[0], sure**2 * plain[1]])
    # label 1 of row 0 and all of row 1 are not known
    labels = torch.tensor([[1, -1], [-1, -1]])
    outputs = torch.tensor([[0.0, 5.0], [5.0, 5.0]], requires_grad=True)
    losses = MultiLabel(2, positive_weights=(2.0, 1.0)).losses(outputs, labels)
    assert losses.tolist() == pytest.approx([2 * math.log(2), 0])
    losses.sum().backward()
    assert outputs.grad is not None
    assert outputs.grad.tolist() == [[-1.0, 0.0], [0.0, 0.0]]


def test_numbers_by_hand_standardised_or_not() -> None:
    targets, scale = torch.tensor([10.0, 16.0]), ((10.0,), (2.0,))
    outputs = torch.tensor([[0.25], [0.0]])  # errors 0.25 and 3 deviations
    wanted = {"mse": [0.0625, 9.0], "l1": [0.25, 3.0], "smooth_l1": [0.03125, 2.5]}
    for loss, values in wanted.items():
        objective = Regression(1, *scale, loss)  # type: ignore[arg-type]
        assert objective.losses(outputs, targets).tolist() == pytest.approx(values)
        assert objective.decode(outputs).tolist() == [[10.5], [10.0]]
        assert objective.scores(outputs, targets).tolist() == pytest.approx([0.25, 36.0])
    half = Regression(1, *scale, "smooth_l1", beta=0.1).losses(outputs, targets).tolist()
    assert half == pytest.approx([0.2, 2.95])


def test_likelihoods_are_those_of_torchs_distributions() -> None:
    y, outputs = torch.tensor([0.0, 1, 5]), torch.randn(3, 1)
    law = torch.distributions.Poisson(outputs[:, 0].exp())
    losses = PoissonRegression().losses(outputs, y)
    torch.testing.assert_close(losses, -law.log_prob(y) - torch.lgamma(y + 1))
    assert torch.equal(PoissonRegression().decode(outputs), outputs.exp())
    two = torch.randn(3, 2)
    normal = torch.distributions.Normal(two[:, 0], torch.exp(two[:, 1] / 2))
    losses = GaussianRegression().losses(two, y)
    torch.testing.assert_close(losses, -normal.log_prob(y) - math.log(2 * math.pi) / 2)
    scaled = GaussianRegression(1, (2.0,), (3.0,))
    normal = torch.distributions.Normal(two[:, 0], torch.exp(two[:, 1] / 2))
    wanted = -normal.log_prob((y - 2) / 3) - math.log(2 * math.pi) / 2
    torch.testing.assert_close(scaled.losses(two, y), wanted)
    torch.testing.assert_close(scaled.decode(two), two[:, :1] * 3 + 2)
    shown = scaled.describe(two)[0]
    assert shown["deviation 0"] == pytest.approx(3 * float(torch.exp(two[0, 1] / 2)), rel=1e-5)


def test_levels_by_hand() -> None:
    objective = Ordinal(4, ("low", "mid", "high", "top"))
    outputs, targets = torch.tensor([[2.0, 1.0, -1.0]]), torch.tensor([2])
    nats = [math.log(1 + math.exp(-x)) for x in (2, 1, 1)]
    assert objective.num_outputs == 3
    assert objective.losses(outputs, targets).item() == pytest.approx(sum(nats) / 3)
    assert objective.decode(outputs).tolist() == [[2.0]]
    assert objective.describe(outputs) == [{"level": 2, "class": "high"}]
    assert objective.scores(outputs, torch.tensor([0])).item() == 2


def test_weights_come_from_labelled_training_rows_alone() -> None:
    targets = torch.tensor([0, 0, 0, 1, 1, 1])
    labelled = torch.tensor([True, True, True, True, False, False])
    found = choices.classification(task(Classification(3), targets, labelled),
                                   class_weights="balanced")  # fmt: skip
    assert found.class_weights == pytest.approx((4 / 9, 4 / 3, 1.0))
    assert choices.binary(task(Binary(), targets, labelled), positive_weight="balanced") == Binary(
        3.0
    )
    labels = torch.tensor([[1.0, 0], [0, -1], [0, 1]])
    several = choices.multi_label(task(Regression(2), labels), positive_weights="balanced")
    assert several == MultiLabel(2, (), (2.0, 1.0))


def test_a_task_can_be_learned_as_something_else() -> None:
    levels = task(Classification(3, ("a", "b", "c")), torch.tensor([0, 1, 2]))
    assert choices.ordinal(levels) == Ordinal(3, ("a", "b", "c"))
    numbers = task(Regression(1, (2.0,), (1.0,)), torch.tensor([1.0, 3.0]))
    assert choices.poisson(numbers) == PoissonRegression()
    assert choices.gaussian(numbers) == GaussianRegression(1, (2.0,), (1.0,))
    assert choices.regression(numbers, standardize=False, loss="l1") == Regression(loss="l1")
    plain = task(Regression(), torch.tensor([1.0, 3.0]))
    assert choices.regression(plain, standardize=True).means == (2.0,)
    with pytest.raises(MtlError, match="objective 'ordinal' does not fit task 't'"):
        choices.ordinal(numbers)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Classification(3, label_smoothing=1.0), "label_smoothing should be at least 0"),
        (lambda: Classification(3, class_weights=(1.0,)), "class_weights should be 3 numbers"),
        (lambda: Classification(2, class_weights=(0.0, 0.0)), "not all of them 0"),
        (lambda: Binary(positive_weight=-1.0), "positive_weight should be a number of at least 0"),
        (lambda: Regression(beta=0.0), "beta should be above 0"),
        (lambda: PoissonRegression(1, (1.0,), (1.0,)), "counts should not be standardised"),
        (lambda: PoissonRegression().check(torch.tensor([1.0, -1.0])), "example 1 is not"),
        (lambda: MultiLabel(2).check(torch.tensor([[0, 2]])), "label 2 of example 0"),
        (lambda: MultiLabel(2).check(torch.tensor([0, 1])), r"shape \(N, 2\)"),
        (lambda: Ordinal(1), "num_levels should be at least 2"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, text: str) -> None:
    with pytest.raises(MtlError, match=text):
        make()


def test_the_same_task_learned_differently_is_the_same_task() -> None:
    assert Classification(3).same_task(Classification(3, label_smoothing=0.1))
    assert not Classification(3).same_task(Classification(4))
    assert Regression().same_task(Regression(1, (1.0,), (2.0,), "l1"))
    assert not Regression().same_task(PoissonRegression())
    assert Classification(3) != Classification(3, label_smoothing=0.1)
