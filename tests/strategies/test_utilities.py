"""Utilities of sampled losses: their ranks, ties and losses that are no numbers."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.drawn import generator, many

from mtl_framework.strategies.search_distribution import utilities
from mtl_framework.support.errors import MtlError


@many
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20, unique=True),
    st.sampled_from(["mean", "first"]),
)
def test_utilities_are_equally_spaced_and_the_smallest_loss_gets_one(
    losses: list[float], ties: Literal["mean", "first"]
) -> None:
    found = utilities(torch.tensor(losses, dtype=torch.float64), ties)
    torch.testing.assert_close(
        found.sort().values, torch.linspace(-1, 1, len(losses), dtype=torch.float64)
    )
    assert float(found[int(np.argmin(losses))]) == 1
    assert float(found[int(np.argmax(losses))]) == -1


@many
@given(st.lists(st.integers(0, 3), min_size=2, max_size=12))
def test_ties_share_the_mean_of_their_ranks(losses: list[int]) -> None:
    values = torch.tensor(losses, dtype=torch.float64)
    found = utilities(values)
    assert float(found.sum()) == pytest.approx(0, abs=1e-12)
    untied = utilities(values, "first")  # some order of the tied samples
    for value in set(losses):
        tied = values == value
        torch.testing.assert_close(found[tied], untied[tied].mean().expand(int(tied.sum())))


def test_ties_in_order_get_every_rank_once() -> None:
    found = utilities(torch.tensor([1.0, 0.0, 1.0, 1.0]), "first")
    torch.testing.assert_close(found, torch.tensor([-1, 1, -1 / 3, 1 / 3], dtype=torch.float64))


def test_a_loss_that_is_not_a_number_ranks_last() -> None:
    found = utilities(torch.tensor([0.5, math.nan, -math.inf]))
    assert found.tolist() == [0, -1, 1]


def test_columns_are_ranked_apart() -> None:
    losses = torch.rand(5, 3, generator=generator(0))
    found = utilities(losses)
    for task in range(3):
        torch.testing.assert_close(found[:, task], utilities(losses[:, task]))


def test_one_sample_cannot_be_ranked() -> None:
    with pytest.raises(MtlError, match="at least 2 samples, found 1"):
        utilities(torch.tensor([0.5]))
