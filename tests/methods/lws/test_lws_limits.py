"""Limiting cases of learned weight sharing: full sharing and no sharing, exactly."""

import pytest
import torch
from mtl_baselines.ends import FullSharing, NoSharing
from mtl_baselines.fixed import FixedConfig
from support.dense import binary_suite, dense_backbone
from support.lws import assert_equal, binary_batch, buffers, build, parameters
from support.typed import tensor


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
