"""Controls of pseudo-task augmentation: what its letters do to decoders, rates and moments."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtl_pta.config import PtaConfig
from mtl_pta.decoders import Decoders
from mtl_pta.strategy import PseudoTaskAugmentation
from support.dense import dense_backbone
from support.pta import batch, build, layers, suite
from torch import Tensor, nn

from mtl_framework import TrainingConfig
from mtl_framework.strategies.recipe import Recipe


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_decoders_start_independently() -> None:
    found = layers(build(decoders=3))
    assert not any(same(found[a], found[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_frozen_decoders_do_not_move_a_bit(optimizer: str) -> None:
    options: dict[str, Any] = {"optimizer": optimizer, "weight_decay": 0.1}
    strategy = build(variant="F", decoders=3, **options)
    before = layers(strategy)
    for seed in range(4):
        strategy.weight_step(batch(seed=seed))
    after = layers(strategy)
    assert [same(a, b) for a, b in zip(before, after, strict=True)] == [False, True, True]


COSTS = torch.tensor([[3.0, 1.0, 2.0, 1.0], [0.0, 5.0, 5.0, 5.0]])


def updated(
    costs: Tensor = COSTS, **options: Any
) -> tuple[PseudoTaskAugmentation, list[list[dict[str, Tensor]]]]:
    """After some steps and one update, with the weights from between them."""
    strategy = build(decoders=4, **options)
    for seed in range(3):
        strategy.weight_step(batch(seed=seed))
    before = [layers(strategy, task) for task in range(2)]
    strategy.choose(costs)
    strategy.update_decoders(costs)
    return strategy, before


def test_without_letters_that_update_nothing_is_updated() -> None:
    for variant in ("I", "F", "D", "FD"):
        strategy, before = updated(variant=variant)
        for task in range(2):
            assert all(map(same, before[task], layers(strategy, task)))


def test_noise_moves_all_that_are_not_best_and_has_the_stated_size() -> None:
    for noise, deviation in (("variance", 0.1), ("deviation", 0.01)):
        strategy, before = updated(variant="FP", noise=noise)
        moved: list[Tensor] = []
        for task, best in ((0, {1, 3}), (1, {0})):
            for number, (one, other) in enumerate(
                zip(before[task], layers(strategy, task), strict=True)
            ):
                assert same(one, other) == (number in best)
                if number not in best:
                    moved += [(other[name] - one[name]).flatten() for name in one]
        size = float(torch.cat(moved).std())
        assert size == pytest.approx(deviation, rel=0.5)


def test_the_noise_is_normal_with_the_stated_variance() -> None:
    decoders = Decoders(nn.Linear(60, 50), 2, 0.0, False, False)
    before = decoders.get_parameter("layers.1.weight").detach().clone()
    which = torch.tensor([False, True])
    decoders.perturb(which, PtaConfig().deviation(0.01), torch.Generator().manual_seed(0))
    after = decoders.get_parameter("layers.1.weight").detach()
    noise = (after - before).flatten().numpy()
    assert noise.var() == pytest.approx(0.01, rel=0.1)
    assert abs(noise.mean()) < 0.01
    assert float(np.mean(np.abs(noise) < 0.1)) == pytest.approx(0.683, abs=0.03)


def test_greedy_makes_all_equal_rates_included() -> None:
    strategy = build(variant="G", decoders=4)
    strategy.network.decoders(0).rates.copy_(torch.tensor([0.2, 0.3, 0.4, 0.5]))
    strategy.choose(COSTS)
    strategy.update_decoders(COSTS)
    for task, chosen in ((0, 1), (1, 0)):
        decoders = strategy.network.decoders(task)
        assert int(decoders.chosen) == chosen
        found = layers(strategy, task)
        assert all(same(found[chosen], other) for other in found)
    assert strategy.network.decoders(0).rates.tolist() == pytest.approx([0.3] * 4)


def test_greedy_and_perturb_copy_first_and_leave_the_best_alone() -> None:
    strategy, before = updated(variant="GP")
    found = layers(strategy, 1)
    assert same(found[0], before[1][0])
    for other in found[1:]:
        differences = torch.cat([(other[name] - found[0][name]).flatten() for name in other])
        assert 0.03 < float(differences.std()) < 0.3
    tied = layers(strategy, 0)  # 1 and 3 are both best: 3 takes 1's weights, and no noise
    assert same(tied[1], before[0][1])
    assert same(tied[3], before[0][1])


@given(st.integers(0, 2**31), st.floats(0.2, 0.8), st.integers(1, 5))
def test_perturbed_rates_stay_in_their_range(seed: int, rate: float, times: int) -> None:
    decoders = Decoders(nn.Linear(2, 2), 3, rate, True, True)
    generator = torch.Generator().manual_seed(seed)
    which = torch.tensor([False, True, True])
    for _ in range(times):
        decoders.perturb_rates(which, 0.316, (0.2, 0.8), generator)
    assert float(decoders.rates[0]) == pytest.approx(rate, rel=1e-6)
    assert bool(((decoders.rates >= 0.2) & (decoders.rates <= 0.8001)).all())


def test_hyperperturb_moves_the_rates_of_those_that_are_not_best() -> None:
    strategy, before = updated(variant="HGD")
    rates = strategy.network.decoders(1).rates
    assert float(rates[0]) == 0.5
    assert len(set(rates.tolist())) == 4
    assert all(same(before[1][0], other) for other in layers(strategy, 1))


@pytest.mark.parametrize("moments", ["keep", "copy", "reset"])
def test_moments_of_changed_decoders_are_treated_as_stated(moments: str) -> None:
    strategy, _ = updated(variant="GP", moments=moments)
    fresh, _ = updated(variant="I")
    state = strategy.optimizer.state

    def moment(of: PseudoTaskAugmentation, number: int) -> Tensor:
        weight = of.network.decoders(1).layers[number].weight
        found: Tensor = of.optimizer.state[weight]["exp_avg"]
        return found

    own = torch.equal(moment(strategy, 0), moment(fresh, 0))
    assert own  # the best one's are nobody else's business
    other = strategy.network.decoders(1).layers[2].weight
    if moments == "reset":
        assert other not in state
    else:
        source = strategy if moments == "copy" else fresh
        assert torch.equal(moment(strategy, 2), moment(source, 0 if moments == "copy" else 2))
    strategy.weight_step(batch(seed=9))  # the optimiser can go on


def test_copied_moments_are_not_shared() -> None:
    strategy, _ = updated(variant="G", moments="copy")
    one, other = (strategy.network.decoders(1).layers[n].weight for n in (0, 2))
    strategy.optimizer.state[one]["exp_avg"].zero_()
    assert bool(strategy.optimizer.state[other]["exp_avg"].any())


def test_moments_of_perturbed_decoders_can_begin_anew() -> None:
    strategy, _ = updated(variant="P", moments="reset")
    first, third = (strategy.network.decoders(1).layers[n].weight for n in (0, 2))
    assert first in strategy.optimizer.state
    assert third not in strategy.optimizer.state


def test_averages_of_overwritten_decoders_are_what_they_are_now() -> None:
    """Else a copy of the best would be averaged with what it replaced."""
    strategy = build(decoders=3, variant="IPG")
    strategy.recipe = Recipe(TrainingConfig.model_validate({"average": {"name": "swa"}}), 10)
    strategy.build(dense_backbone(norm=True), suite()).double()
    for seed in range(4):
        strategy.weight_step(batch(seed=seed))
    costs = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    strategy.choose(costs)
    strategy.update_decoders(costs)
    now = [layers(strategy, task) for task in range(2)]
    average = strategy.optimizer.average
    assert average is not None
    average.swap()
    averaged = [layers(strategy, task) for task in range(2)]
    unlike = [
        [not same(a, b) for a, b in zip(*both, strict=True)]
        for both in zip(now, averaged, strict=True)
    ]
    assert unlike == [[False, True, False], [True, False, False]]  # what was chosen goes on
