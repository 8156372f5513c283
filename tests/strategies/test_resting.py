"""Rows without a gradient are as parameters of their own that have none."""

from typing import Any

import pytest
import torch
from torch import nn

from mtl_framework import TrainingConfig
from mtl_framework.strategies.recipe_optimizer import RecipeOptimizer

OPTIMIZERS: dict[str, Any] = {
    "adam": lambda p: torch.optim.Adam(p, 0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.5, amsgrad=True),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.5),
    "plain": lambda p: torch.optim.SGD(p, 0.1),
}


def trained(
    name: str, graded: list[list[int]], **training: Any
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Three rows, of which each step gives some a gradient; their values and moments."""
    parameter = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    inner = OPTIMIZERS[name]([parameter])
    optimizer = RecipeOptimizer(inner, TrainingConfig(**training), parts={parameter: 3})
    for step, rows in enumerate(graded):
        optimizer.zero_grad()
        weights = torch.zeros(3)
        weights[rows] = 1.0
        (weights @ (parameter * (step + 1)).sum(1)).backward()
        optimizer.step()
    return parameter.detach(), {
        key: value for key, value in inner.state[parameter].items() if value.shape == (3, 2)
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_row_without_a_gradient_keeps_values_and_moments(name: str) -> None:
    steps = [[0, 1, 2], [0, 1, 2]]
    before, moments = trained(name, steps)
    after, later = trained(name, [*steps, [0, 2], [0, 2]])
    assert torch.equal(after[1], before[1])
    assert (after[[0, 2]] != before[[0, 2]]).all()
    for key in moments:
        assert torch.equal(later[key][1], moments[key][1])
        assert (later[key][0] != moments[key][0]).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_row_that_comes_late_starts_then(name: str) -> None:
    values, moments = trained(name, [[0]])
    assert values[1].tolist() == [3.0, 4.0]
    assert all(not value[1].any() for value in moments.values())
    later, _ = trained(name, [[0], [0, 1]])
    assert (later[1] != values[1]).all()


@pytest.mark.parametrize("name", ["adam", "adamw", "momentum"])
def test_rows_move_on_where_that_is_asked_for(name: str) -> None:
    before, _ = trained(name, [[0, 1, 2]])
    after, _ = trained(name, [[0, 1, 2], [0, 2]], unused_weights="move")
    assert (after[1] != before[1]).all()


def test_a_row_that_one_of_several_accumulated_steps_uses_moves() -> None:
    before, _ = trained("adam", [[0, 1, 2], [0, 1, 2]], accumulate=2)
    after, _ = trained("adam", [[0, 1, 2], [0, 1, 2], [0], [0, 1]], accumulate=2)
    assert (after[:2] != before[:2]).all()
    assert torch.equal(after[2], before[2])


def test_parts_of_several_rows_stay_as_a_whole() -> None:
    parameter = nn.Parameter(torch.ones(4, 2))
    inner = torch.optim.Adam([parameter], 0.1)
    optimizer = RecipeOptimizer(inner, TrainingConfig(), parts={parameter: 2})
    for weights in ([1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]):
        optimizer.zero_grad()
        (torch.tensor(weights) @ parameter.sum(1)).backward()
        before = parameter.detach().clone()
        optimizer.step()
    assert torch.equal(parameter[2:], before[2:])
    assert (parameter[:2] != before[:2]).all()  # the second row is of the part that has a gradient
