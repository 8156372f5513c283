"""Options of learned weight sharing."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_lws.config import LwsConfig
from mtl_lws.roaming import Roaming, RoamingConfig
from mtl_lws.strategy import LearnedWeightSharing
from pydantic import ValidationError
from support.dense import binary_suite, dense_backbone
from support.lws import CLOSE, binary_batch, build, parameters
from support.tiny import start

from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.resolve import Layer, resolve
from mtl_framework.support.errors import MtlError


def test_usage_divides_by_the_expected_share_of_the_tasks() -> None:
    prior = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.25, 0.25]]
    options: dict[str, Any] = {"initial_distribution": prior, "weight_samples": 4}
    paper, usage = build(**options), build(gradient_scaling="usage", **options)
    for strategy in (paper, usage):
        strategy.weight_step(binary_batch(3))
    plain = {n: p.grad for n, p in paper.network.named_parameters() if p.grad is not None}
    scaled = {n: p.grad for n, p in usage.network.named_parameters() if p.grad is not None}
    assert set(plain) == set(scaled)
    assert any("copies.2" in name for name in plain)
    users = [0.7 + 0.1 + 0.5, 0.2 + 0.3 + 0.25, 0.1 + 0.6 + 0.25]
    for name, gradient in plain.items():
        factor = 1.0  # layers that all tasks share
        if "copies" in name:
            factor = 3 / users[int(name.split(".copies.")[1][0])]
        elif "heads" in name:
            factor = 3.0
        torch.testing.assert_close(scaled[name], factor * gradient, **CLOSE)


def test_while_everything_is_shared_all_tasks_are_users() -> None:
    paper, usage = (
        build(gradient_scaling=scaling, shared_start=0.5) for scaling in ("paper", "usage")
    )
    for strategy in (paper, usage):
        strategy.weight_step(binary_batch(3))
    other = dict(usage.network.named_parameters())
    shared = 0
    for name, parameter in paper.network.named_parameters():
        if parameter.grad is not None:
            factor = 3.0 if "heads" in name else 1.0
            shared += "copies.0" in name
            torch.testing.assert_close(other[name].grad, factor * parameter.grad, **CLOSE)
    assert shared > 0


def test_tasks_that_roam_divide_by_usage_as_a_search_at_its_start_does() -> None:
    """While they roam the expected users count, once they have settled those of what is kept."""
    for settled in (False, True):
        paper, usage = (roams(gradient_scaling=scaling) for scaling in ("paper", "usage"))
        for strategy in (paper, usage):
            strategy.weight_step(binary_batch(3), settled)
        users = torch.ones(2, 3)  # of three tasks, each weight is expected to have one
        if settled:
            users = torch.nn.functional.one_hot(paper.network.assignment, 3).sum(1)
        other = dict(usage.network.named_parameters())
        seen = 0
        for name, parameter in paper.network.named_parameters():
            if parameter.grad is not None and ".copies." in name:
                unit = ("one", "two").index(name.split(".")[1])
                factor = 3 / users[unit, int(name.split(".copies.")[1][0])].item()
                torch.testing.assert_close(other[name].grad, factor * parameter.grad, **CLOSE)
                seen += 1
        assert seen > 1


def roams(**options: Any) -> Roaming:
    """Make a strategy whose tasks roam over three weights, as :func:`build` does."""
    strategy = Roaming(RoamingConfig.model_validate(options), seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        strategy.build(dense_backbone(), binary_suite(3)).double()
    return strategy


def test_only_momentum_moves_weights_that_no_sample_uses() -> None:
    """The first step uses weight 0 alone, the second weight 1 alone."""
    moved = {}
    for unused in ("skip", "momentum"):
        strategy = build(weights_per_unit=2, unused_weights=unused)
        for weight in (0, 1):
            pi = torch.zeros(2, 3, 2, dtype=torch.float64)
            pi[..., weight] = 1
            strategy.distribution.load_state_dict({"pi": pi})
            before = parameters(strategy.network)
            strategy.weight_step(binary_batch(3, weight))
            if weight == 0:  # what has never had a gradient has no momentum either
                name = "model.one.copies.1.0.weight"
                assert torch.equal(parameters(strategy.network)[name], before[name])
                # nor does Adam count the step, which would change its bias correction later
                assert strategy.network.get_parameter(name) not in strategy.optimizer.state
        name = "model.one.copies.0.0.weight"
        moved[unused] = not torch.equal(parameters(strategy.network)[name], before[name])
    assert moved == {"skip": False, "momentum": True}


@pytest.mark.parametrize(
    ("options", "pretrained", "variance"),
    [
        ({}, False, 1),  # the default: PyTorch's own
        ({}, True, 1),
        ({"initialization": "he_uniform"}, False, 6),
        ({"initialization": None}, False, 6),  # as runs from before November 2026 say it
        ({"initialization": None}, True, 1),
    ],
)
def test_initialization_is_the_librarys_unless_asked(
    options: dict[str, Any], pretrained: bool, variance: int
) -> None:
    backbone = dense_backbone(inputs=600)
    recipe = dataclasses.replace(backbone.recipe, pretrained=pretrained)
    strategy = LearnedWeightSharing(LwsConfig(**options))
    strategy.build(dataclasses.replace(backbone, recipe=recipe), binary_suite(2, inputs=600))
    largest = float(strategy.network.model.get_parameter("stem.0.weight").detach().abs().max())
    bound = (variance / 600) ** 0.5
    assert 0.9 * bound < largest <= bound


def test_prior_knowledge_is_where_the_search_starts() -> None:
    matrix = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    strategy = build(weights_per_unit=2, initial_distribution=matrix)
    torch.testing.assert_close(
        strategy.distribution.pi, torch.tensor([matrix] * 2, dtype=torch.float64)
    )
    assert strategy.network.assignment.tolist() == [[0, 1, 0]] * 2
    other = [[0.1, 0.9], [1.0, 0.0], [0.5, 0.5]]
    strategy = build(weights_per_unit=2, initial_distribution=[matrix, other])
    assert strategy.network.assignment.tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nes_samples": 1}, "at least 2: the utilities of a single sample divide by zero"),
        ({"weights_per_unit": 0}, "greater than or equal to 1"),
        ({"weights_per_unit": 4, "p_min": 0.25}, r"p_min below 1 / weights_per_unit = 0.25, found"),
        ({"weight_samples": 0}, "greater than or equal to 1"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"credit": "all"}, "'joint', 'task' or 'unit'"),
        ({"weights": 3}, "Extra inputs"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LwsConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p_min": 0.4}, r"strategy should have p_min below 1 / weights_per_unit = 0.3333"),
        ({"initial_distribution": [[1.0, 0.0]]}, "3 tasks x 3 weights, .* found 1 x 2"),
        ({"initial_distribution": [[1.0], [0.5, 0.5]]}, "rows differ in length"),
        ({"initial_distribution": [[0.5, 0.2, 0.2]] * 3}, "of task 0 at unit 0 sum to 0.9"),
        ({"initial_distribution": [[1.5, -0.5, 0.0]] * 3}, "is -0.5"),
    ],
)
def test_options_that_do_not_fit_the_suite_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(MtlError, match=message):
        build(**options)


def test_presets_are_valid_runs() -> None:
    for name, preset in LearnedWeightSharing.presets.items():
        config = resolve(Plugins.load(), [Layer({"strategy": "lws", "preset": name})]).config
        options = LwsConfig(**{k: v for k, v in config.strategy.options.items() if k != "preset"})
        assert all(getattr(options, k) == v for k, v in preset["strategy"].items() if k != "name")


@pytest.mark.parametrize("freeze_after", [0.5, 1])
@pytest.mark.parametrize(("rate", "told"), [(1e-6, True), (0.9, False)])
def test_a_search_that_ends_undecided_is_told(
    tmp_path: Path, rate: float, told: bool, freeze_after: float
) -> None:
    said: list[str] = []
    options = {"name": "learned", "nes_learning_rate": rate, "freeze_after": freeze_after}
    run = start(tmp_path / "run", strategy=options, iterations=12, eval_every=12)
    run.hint = said.append  # type: ignore[method-assign, assignment]
    run.execute()
    hints = [text for text in said if text.startswith("the search ends undecided (entropy 0.69 of")]
    assert len(hints) == told
