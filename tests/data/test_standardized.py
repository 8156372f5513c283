"""Regression on standardised targets: learned in deviations, measured in the targets' units."""

import pytest
import torch

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
