"""Regression on standardised targets: learned in deviations, measured in the targets' units."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl_framework.data import Regression
from mtl_framework.support.errors import MtlError


def test_losses_are_in_deviations_and_scores_in_the_units_of_the_targets() -> None:
    generator = torch.Generator().manual_seed(0)
    train = torch.randn(50, 2, generator=generator).double() * torch.tensor([1e5, 0.01]) + 3e5
    objective = Regression.standardized(train)
    assert objective.num_outputs == 2
    mean, deviation = train.mean(0), train.std(0, correction=0)
    assert torch.tensor(objective.means).allclose(mean.float())
    outputs = torch.randn(50, 2, generator=generator).double()
    losses = ((outputs - (train - mean) / deviation) ** 2).mean(1)
    assert objective.losses(outputs, train).allclose(losses)
    decoded = objective.decode(outputs)
    assert decoded.allclose(outputs * deviation + mean)
    errors = ((decoded - train) ** 2).mean(1)
    assert objective.scores(outputs, train).double().allclose(errors, rtol=1e-3)
    perfect = ((train - mean) / deviation).float()
    assert objective.summarize(float(objective.scores(perfect, train).mean())) < 0.1


NUMBERS = st.floats(-1000, 1000, width=32).map(lambda number: round(number, 3))


@settings(max_examples=60, deadline=None)
@given(
    train=arrays(np.float64, st.integers(2, 12), elements=NUMBERS),
    factor=st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6]),
    shift=st.sampled_from([0.0, -7.0, 1e4]),
)
def test_units_change_nothing_but_the_units(train: np.ndarray, factor: float, shift: float) -> None:
    """Euros or cents, Celsius or Kelvin: losses are equal, decoded outputs are in the new unit."""
    if np.ptp(train) < 1:
        train = train + np.arange(len(train))
    numbers = torch.from_numpy(train)
    other = numbers * factor + shift * factor
    outputs = torch.linspace(-2, 2, len(train), dtype=torch.float64)[:, None]
    plain, changed = Regression.standardized(numbers), Regression.standardized(other)
    first, second = plain.losses(outputs, numbers), changed.losses(outputs, other)
    assert first.allclose(second, rtol=1e-2, atol=1e-4)
    expected = (plain.decode(outputs) + shift) * factor
    scale = float(other.std())
    assert ((changed.decode(outputs) - expected).abs() < 1e-3 * scale + 1e-6 * abs(shift)).all()
    mean, deviation = numbers.mean(), numbers.std(correction=0)
    assert first.allclose((outputs[:, 0] - (numbers - mean) / deviation) ** 2, rtol=1e-3, atol=1e-5)


def test_without_means_nothing_is_changed() -> None:
    outputs, targets = torch.tensor([[2.0], [3.0]]), torch.tensor([1.0, 5.0])
    plain = Regression()
    assert plain.decode(outputs) is outputs
    assert plain.losses(outputs, targets).tolist() == [1, 4]
    assert plain.scores(outputs, targets).tolist() == [1, 4]


def test_a_constant_target_keeps_its_deviation_of_one() -> None:
    objective = Regression.standardized(torch.full((9,), 1e6 + 0.25))
    assert objective.deviations == (1,)
    assert objective.decode(torch.zeros(1, 1)).item() == 1e6 + 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, (1.0,), (1.0, 1.0)), "means should be 2 numbers, found 1"),
        ((1, (1.0,), ()), "deviations should be 1 numbers, found 0"),
        ((1, (1.0,), (0.0,)), "deviations should be above 0"),
    ],
)
def test_wrong_scales_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(MtlError, match=message):
        Regression(*arguments)  # type: ignore[arg-type]
