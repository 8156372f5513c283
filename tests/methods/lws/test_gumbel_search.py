"""The search by gradients: its logits' gradient by loops, by differences, and what it does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_lws.beyond import price
from mtl_lws.beyond.gumbel import GumbelSearch, centred, gumbel_noise
from mtl_lws.config import LwsConfig
from mtl_lws.strategy import LearnedWeightSharing
from pydantic import ValidationError
from support.dense import binary_suite, dense_backbone
from support.factors import loss_of_column, sensitivities_by_loops
from support.lws import CLOSE, assert_equal, binary_batch, buffers, build, parameters
from support.makers import make_backbone, make_batch, make_tasks, stirred
from torch import Tensor

from mtl_framework import SearchDistribution, run
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Suite
from mtl_framework.testing import CHECKS, Oracle, Trial

MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {"layers": (1, 1, 1, 1), "channels": (8, 8, 12, 16)},
    "vit_tiny_patch16_224": {
        "img_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 24, "num_heads": 2,
    },
}  # fmt: skip


def random_pi(units: int, tasks: int, weights: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    pi = torch.rand(units, tasks, weights, generator=generator, dtype=torch.float64) + 0.1
    return pi / pi.sum(-1, keepdim=True)


def on_images(name: str) -> LearnedWeightSharing:
    """Three tasks on a small timm model, in float64, nothing as it starts."""
    torch.manual_seed(0)
    strategy = LearnedWeightSharing(LwsConfig(estimator="gumbel", temperature=2.0), 3)
    suite = Suite("drawn", make_tasks((2, 3, 4)))
    network = strategy.build(make_backbone(name, args=MODELS[name]), suite).double()
    stirred(network, lambda name, value: 0.05)
    network.eval()
    pi = random_pi(*strategy.distribution.pi.shape)
    strategy.distribution.load_state_dict({"pi": pi})
    return strategy


def gradient_by_loops(
    strategy: LearnedWeightSharing, batch: Batch, noise: Tensor, temperature: float
) -> Tensor:
    """Back-propagate through 1 + y - stopgrad(y), one draw, task and unit at a time.

    Less, in every draw, the mean over the other draws of what a unit's factor changes.
    """
    network, oracle = strategy.network, Oracle(strategy.network)
    logits = strategy.distribution.pi.log().requires_grad_()
    samples, units, tasks, _ = noise.shape
    chosen = (logits.detach() + noise).argmax(-1)
    others = sensitivities_by_loops(network, batch, chosen)[0]
    total = torch.zeros((), dtype=torch.float64)
    for s in range(samples):
        for t in range(tasks):
            factors = []
            for u in range(units):
                scores = [(logits[u, t, k] + noise[s, u, t, k]) / temperature for k in range(3)]
                y = scores[chosen[s, u, t]].exp() / sum(score.exp() for score in scores)
                factors.append(1 + y - y.detach())
            column = chosen[s, :, t].tolist()
            loss = loss_of_column(oracle, batch, column, t, torch.stack(factors))
            for u in range(units):
                rest = [others[r, u, t] for r in range(samples) if r != s]
                loss = loss - factors[u] * sum(rest) / max(1, len(rest))
            total = total + loss / (samples * tasks)
    return torch.autograd.grad(total, logits)[0]


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_promise_is_kept(check: Any, tmp_path: Path) -> None:
    check(Trial("lws", {"estimator": "gumbel", "search_data": 0.25, "price": 0.1}), tmp_path)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_logits_have_the_gradient_of_the_multiplier_by_loops(name: str, samples: int) -> None:
    strategy = on_images(name)
    search, pi = strategy.gumbel, strategy.distribution.pi
    assert search is not None
    batch = make_batch(strategy.network.tasks)
    generator = torch.Generator().manual_seed(samples)
    noise = gumbel_noise((samples, *pi.shape), torch.Generator().manual_seed(samples))
    wanted = gradient_by_loops(strategy, batch, noise, 2.0)
    moved: list[Tensor] = []
    search._move = lambda gradient, present, rate: moved.append(gradient)  # type: ignore[method-assign]
    search.step(strategy.network, batch, samples, 0.1, generator)
    torch.testing.assert_close(moved[0], wanted, **CLOSE)
    assert wanted.abs().amax((1, 2)).min() > 1e-9  # at every unit


def test_it_is_the_derivative_of_the_expected_relaxed_loss() -> None:
    """One unit, task and pair of weights; noise by quantiles, losses by forward passes."""
    torch.manual_seed(2)
    strategy = LearnedWeightSharing(LwsConfig(estimator="gumbel", weights_per_unit=2), 0)
    network = strategy.build(dense_backbone(shared=("stem", "one")), binary_suite(1)).double()
    network.eval()
    batch, oracle = binary_batch(1), Oracle(network)
    strategy.distribution.load_state_dict({"pi": random_pi(1, 1, 2, 5)})
    search, start = strategy.gumbel, strategy.distribution.pi.log()[0, 0]
    assert search is not None
    search.temperature = 0.7
    points = (torch.arange(12, dtype=torch.float64) + 0.5) / 12
    differences = (points / (1 - points)).log()  # of two Gumbel variables
    noise = torch.stack([differences, torch.zeros(12)], -1).double()

    def soft(logits: Tensor, g: Tensor) -> Tensor:
        return ((logits + g) / 0.7).softmax(-1)

    def expected(logits: Tensor) -> Tensor:
        """Draws stay those of the start; the multiplier of the drawn weight moves."""
        total = torch.zeros((), dtype=torch.float64)
        for g in noise:
            a = int((start + g).argmax())
            factor = 1 + soft(logits, g)[a] - soft(start, g)[a]
            total = total + loss_of_column(oracle, batch, [a], 0, factor[None]) / len(noise)
        return total.detach()

    found = torch.zeros(2, dtype=torch.float64)
    chosen = (start + noise).argmax(-1)[:, None, None, None]
    assert set(chosen.flatten().tolist()) == {0, 1}
    for g, a in zip(noise, chosen, strict=True):
        sensitivity = sensitivities_by_loops(network, batch, a)[0]
        found += search.gradient(g[None, None, None], a, sensitivity)[0, 0] / len(noise)
    for k in range(2):
        step = torch.nn.functional.one_hot(torch.tensor(k), 2) * 1e-5
        by_difference = (expected(start + step) - expected(start - step)) / 2e-5
        torch.testing.assert_close(found[k], by_difference, rtol=1e-6, atol=1e-9)
    assert found.abs().min() > 1e-4


def test_other_draws_are_what_a_draw_is_compared_with() -> None:
    values = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
    assert centred(values).tolist() == pytest.approx([-3, -1.5, 4.5])
    assert centred(values[:1]).tolist() == [1]


def test_draws_follow_the_distribution() -> None:
    pi = torch.tensor([[[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    noise = gumbel_noise((20000, 1, 2, 3), torch.Generator().manual_seed(0))
    chosen = (pi.log() + noise).argmax(-1)
    counts = torch.bincount(chosen[:, 0, 0], minlength=3) / 20000
    torch.testing.assert_close(counts, torch.tensor([0.2, 0.5, 0.3]), rtol=0, atol=0.015)
    assert chosen[:, 0, 1].unique().tolist() == [1]


def test_impossible_choices_stay_impossible() -> None:
    pi = torch.tensor([[[0.0, 0.6, 0.4]]], dtype=torch.float64)
    search = GumbelSearch(SearchDistribution(pi), (1.0, 1.0), 0.0)
    noise = gumbel_noise((4, 1, 1, 3), torch.Generator().manual_seed(0))
    chosen = (pi.log() + noise).argmax(-1)
    gradient = search.gradient(
        noise, chosen, torch.tensor([1.0, -2, 0.5, 3]).double().reshape(4, 1, 1)
    )
    search._move(gradient, [True], 0.1)
    assert search.distribution.pi[0, 0, 0] == 0
    assert search.distribution.pi.isfinite().all()
    assert (search.distribution.pi[0, 0, 1:] - pi[0, 0, 1:]).abs().min() > 0.01


def test_the_price_has_its_exact_gradient() -> None:
    pi, costs = random_pi(2, 3, 2), torch.tensor([0.3, 0.7], dtype=torch.float64)
    search = GumbelSearch(SearchDistribution(pi), (1.0, 1.0), 1e-3, costs, 0.25)
    noise = gumbel_noise((2, 2, 3, 2), torch.Generator().manual_seed(0))
    chosen = (pi.log() + noise).argmax(-1)
    found = search.gradient(noise, chosen, torch.zeros(2, 2, 3).double())
    for entry in torch.cartesian_prod(*map(torch.arange, pi.shape)).tolist():
        sizes = []
        for sign in (1, -1):
            logits = pi.log()
            logits[tuple(entry)] += sign * 1e-6
            sizes.append(price.expected_size(logits.softmax(-1), costs))
        wanted = 0.25 * (sizes[0] - sizes[1]) / 2e-6
        assert float(found[tuple(entry)]) == pytest.approx(wanted, rel=1e-5, abs=1e-9)


def test_a_high_price_makes_the_network_small() -> None:
    strategy = build(estimator="gumbel", price=1e6, nes_learning_rate=0.2)
    assert strategy._costs is not None
    # where all choices are equally probable the price has no slope: start beside it
    strategy.distribution.load_state_dict({"pi": random_pi(2, 3, 3)})
    for _ in range(30):
        strategy.search_step(binary_batch(3))
    assert price.expected_size(strategy.distribution.pi, strategy._costs) < 1.2


def test_the_search_moves_nothing_but_the_distribution() -> None:
    strategy = build(estimator="gumbel", p_min=0.05, nes_learning_rate=1.0)
    before = parameters(strategy.network), buffers(strategy.network)
    for seed in range(4):
        strategy.search_step(binary_batch(3, seed))
    assert_equal(parameters(strategy.network), before[0])
    assert_equal(buffers(strategy.network), before[1])
    assert all(p.grad is None for p in strategy.network.parameters())
    pi = strategy.distribution.pi
    assert float(pi.min()) > 0.05 / (1 + 3 * 0.05)
    assert float(pi.max()) > 0.6
    assert torch.equal(strategy.network.assignment, strategy.distribution.mode())


def test_tasks_without_labels_stay_where_they_are() -> None:
    """Also by Adam's momentum."""
    strategy = build(estimator="gumbel", nes_learning_rate=0.1)
    strategy.search_step(binary_batch(3))
    before = strategy.distribution.pi.clone()
    full = binary_batch(3, 1)
    masks = (None, torch.zeros(6).bool(), None)
    strategy.search_step(Batch(full.inputs, full.targets, labelled=masks))
    moved = (strategy.distribution.pi - before).abs().amax((0, 2))
    assert moved[1] < 1e-12 < moved[[0, 2]].min()


def test_the_temperature_falls_until_the_search_ends(tmp_path: Path) -> None:
    search = GumbelSearch(SearchDistribution(random_pi(1, 1, 2)), (5.0, 0.1), 1e-3)
    assert search.temperature == 5.0
    found = []
    for done in (0.0, 0.5, 1.0, 1.5):
        search.cool(done)
        found.append(search.temperature)
    assert found == pytest.approx([5, 2.55, 0.1, 0.1])
    strategy = build(estimator="gumbel", freeze_after=0.5)
    assert strategy.length_options() == ["strategy.freeze_after", "strategy.temperature"]
    assert build(estimator="gumbel", temperature=1, last_temperature=1).length_options() == []


def test_a_task_that_is_taken_out_predicts_the_same() -> None:
    strategy = build(estimator="gumbel", nes_learning_rate=0.5)
    batch = binary_batch(3)
    for _ in range(3):
        strategy.search_step(batch)
        strategy.weight_step(batch)
    strategy.network.eval()
    for task, inputs in enumerate(batch.inputs):
        alone = strategy.network.extract(task)
        torch.testing.assert_close(alone(inputs), strategy.network.predict(task, inputs), **CLOSE)


def test_half_precision_moves_the_distribution_nearly_alike() -> None:
    found = []
    for precision in ("fp32", "bf16"):
        strategy = build(estimator="gumbel", nes_learning_rate=0.1)
        strategy.network.float().precision = precision
        batch = binary_batch(3)
        inputs = tuple(x.float() for x in batch.inputs)
        strategy.search_step(Batch(inputs, batch.targets))
        found.append(strategy.gumbel.state_dict()["state"][0]["exp_avg"])  # type: ignore[union-attr]
    assert 0 < (found[0] - found[1]).norm() < 0.1 * found[0].norm()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"credit": "joint"}, "leave out credit with estimator 'gumbel', where each choice gets"),
        ({"credit": "unit"}, "leave out credit with estimator 'gumbel', where each choice gets"),
        ({"ties": "first"}, "leave out ties with estimator 'gumbel', which ranks no samples"),
        ({"ranked_on": "weight_step"}, "leave out ranked_on with estimator 'gumbel', which ranks"),
    ],
)
def test_what_ranks_samples_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LwsConfig(estimator="gumbel", **options)


def test_temperatures_without_soft_choices_are_refused() -> None:
    with pytest.raises(ValidationError, match="leave out temperature with estimator 'nes', which"):
        LwsConfig(temperature=1.0)


@pytest.mark.long
def test_two_groups_of_tasks_are_told_apart(tmp_path: Path) -> None:
    """A suite with a known answer: tasks of one group share, those of different groups do not."""
    options: dict[str, Any] = {
        "estimator": "gumbel", "nes_learning_rate": 0.03, "weights_per_unit": 2,
        "learning_rate": 0.01, "backbone.shared": [], "iterations": 250, "eval_every": 250,
    }  # fmt: skip
    suite = {"name": "two_groups", "train_per_task": 100}
    result = run(
        "lws", "two_features", suite, output=tmp_path / "run", device="cpu", progress=False,
        seed=1, **options,
    )  # fmt: skip
    assert result.assignment is not None
    (row,) = result.assignment.weights
    assert row[0] == row[1] == row[2] != row[3] == row[4] == row[5]
