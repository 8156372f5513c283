"""The Gumbel router: draws as routed paths, straight-through gradients, routes taken out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_routing_networks.config import RoutingConfig
from mtl_routing_networks.gumbel import GumbelNetworks, UnitRoutes, gumbel_noise
from mtl_routing_networks.strategy import RoutingNetworks
from pydantic import ValidationError
from support.dense import binary_suite, dense_backbone
from support.lws import CLOSE
from support.makers import make_backbone, make_batch, make_tasks

from mtl_framework import TaskNetworks, TrainingConfig
from mtl_framework.data import Suite
from mtl_framework.strategies.recipe import Recipe
from mtl_framework.support.errors import MtlError
from mtl_framework.testing import CHECKS, Oracle, Trial

MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {"args": {"layers": (1, 1, 1, 1), "channels": (8, 8, 12, 16)}},
    "convnext_atto": {"args": {"depths": (1, 1, 1, 1), "dims": (8, 12, 16, 20)}},
}
OPTIONS: dict[str, Any] = {"router": "gumbel", "router_learning_rate": 0.3}


def built(name: str, mode: str = "task", **options: Any) -> tuple[RoutingNetworks, GumbelNetworks]:
    """Three tasks with three blocks on a small timm model, in float64."""
    torch.manual_seed(1)
    suite = Suite("drawn", make_tasks((2, 3, 4)))
    strategy = RoutingNetworks(RoutingConfig(**{**OPTIONS, **options}))
    backbone = make_backbone(name, normalization=mode, **MODELS[name])
    network = strategy.build(backbone, suite).double()
    assert isinstance(network, GumbelNetworks)
    return strategy, network


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_promise_is_kept(check: Any, tmp_path: Path) -> None:
    check(Trial("routing_networks", OPTIONS), tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_a_drawn_path_is_that_of_the_oracle(name: str) -> None:
    """Losses and gradients of blocks on it; blocks beside it get none."""
    strategy, network = built(name)
    batch = make_batch(network.tasks)
    noise = gumbel_noise((len(network.backbone.units), 3, 3), torch.Generator().manual_seed(4))
    drawn = noise.argmax(-1)
    assert len(drawn.unique()) == 3
    plain = TaskNetworks(network.backbone, network.tasks, 3).double()
    state = {key: value for key, value in network.state_dict().items() if "mixed" not in key}
    plain.load_state_dict(state)
    wanted = Oracle(plain).step(batch, drawn[None])
    network.train()
    with network.drawing(noise, 2.0):
        losses = network.accumulate_gradients(batch, network.assignment[None])
    torch.testing.assert_close(losses, wanted.losses, **CLOSE)
    for key, parameter in network.named_parameters():
        if "mixed" in key:
            continue
        gradient = wanted.gradients.get(key)
        assert parameter.grad is not None
        if gradient is None:
            assert parameter.grad.abs().max() == 0
        else:
            torch.testing.assert_close(parameter.grad, gradient, **CLOSE)
    assert all(routes.logits.grad is not None for routes in network.unit_routes())
    assert strategy.agents.policy.pi.shape == noise.shape


def test_logits_get_the_gradient_of_the_soft_choice() -> None:
    """That of the loss by the shares, by differences, through the derivative of softmax."""
    _, network = built("resnet18")
    batch = make_batch(network.tasks)
    noise = gumbel_noise((4, 3, 3), torch.Generator().manual_seed(4))
    network.train()
    with network.drawing(noise, 0.7):
        network.losses(batch, network.assignment[None]).sum().backward()
    unit, routes = 2, network.unit_routes()[2]
    soft = ((routes.logits.detach() + noise[unit]) / 0.7).softmax(-1)
    by_share = torch.zeros(3, 3, dtype=torch.float64)
    for task in range(3):
        for block in range(3):
            moved = []
            for sign in (1, -1):
                shares = torch.nn.functional.one_hot(soft.argmax(-1), 3).double()
                shares[task, block] += sign * 1e-6
                with network.drawing(noise, 0.7), torch.no_grad():
                    routes.register_forward_hook(lambda *_, own=shares: own)
                    moved.append(network.losses(batch, network.assignment[None]).sum())
                routes._forward_hooks.clear()
            by_share[task, block] = (moved[0] - moved[1]) / 2e-6
    wanted = soft * (by_share - (soft * by_share).sum(-1, keepdim=True)) / 0.7
    assert routes.logits.grad is not None
    torch.testing.assert_close(routes.logits.grad, wanted, rtol=1e-4, atol=1e-6)
    assert wanted.abs().max() > 1e-3


def test_draws_follow_the_probabilities() -> None:
    routes = UnitRoutes(1, 3)
    routes.logits.data = torch.tensor([[0.2, 0.5, 0.3]]).log()
    noise = gumbel_noise((20000, 1, 3), torch.Generator().manual_seed(0))
    counts = torch.bincount((routes.logits.detach() + noise).argmax(-1).flatten(), minlength=3)
    torch.testing.assert_close(counts / 20000, torch.tensor([0.2, 0.5, 0.3]), rtol=0, atol=0.015)
    assert routes.eval()().tolist() == [[0, 1, 0]]
    routes.train().drawn = (torch.tensor([[3.0, 0.0, 0.0]]), 0.5)
    assert routes().tolist() == [[1, 0, 0]]
    assert routes.eval()().tolist() == [[0, 1, 0]]  # no noise in evaluation


def test_routes_are_taken_out_alone_and_counted() -> None:
    strategy, network = built("resnet18")
    for seed in range(2):
        strategy.gumbel_step(make_batch(network.tasks, seed=seed), 1.0)
    network.eval()
    sharing = network.sharing()
    assert torch.equal(sharing.weights, strategy.agents.policy.mode())
    for task, inputs in enumerate(make_batch(network.tasks).inputs):
        alone = network.extract(task)
        torch.testing.assert_close(alone(inputs), network.predict(task, inputs), **CLOSE)
        own = sum(p.numel() for p in network.backbone.recipe.create(task + 2).parameters())
        assert sum(p.numel() for p in alone.parameters()) == own
    counts = network.parameter_counts()
    used = sum(
        len(set(row)) * unit.num_parameters
        for row, unit in zip(sharing.weights.tolist(), network.backbone.units, strict=True)
    )
    rest = [*network.shared_parameters(), *network.heads.parameters()]
    assert counts.deployed == used + sum(p.numel() for p in rest)
    assert counts.trained == sum(p.numel() for p in network.parameters())


def test_collaboration_draws_tasks_to_one_block() -> None:
    """Alone, without a gradient of the loss: common blocks become more probable."""
    for by in ("decisions", "probabilities"):
        strategy, network = built("resnet18", collaboration=1.0, collaboration_by=by)
        strategy.recent.add(torch.tensor([[1, 1, 0, 1]] * 4))
        strategy.agents.policy.pi[..., 1] = 0.6
        strategy._collaborate(network, torch.tensor([True, True, False]))
        for routes in network.unit_routes():
            assert routes.logits.grad is not None
            assert (routes.logits.grad[:2, 1] < 0).all()
            assert (routes.logits.grad[:2, 2] > 0).all()
            assert not routes.logits.grad[2].any()  # of a task without labels


def test_routers_wait_settle_and_cool(tmp_path: Path) -> None:
    options = {**OPTIONS, "delay": 0.34, "settle": 0.34, "paths": 2}
    entropies: list[float] = []
    trial = Trial("routing_networks", options)
    run = trial.start(tmp_path / "run", lambda run: entropies.append(
        run.strategy.agents.policy.entropy()  # type: ignore[attr-defined]
    ))  # fmt: skip
    run.execute()
    strategy = run.strategy
    assert isinstance(strategy, RoutingNetworks)
    start = float(torch.tensor(3.0).log())
    assert entropies[:3] == pytest.approx([start] * 3)
    assert entropies[3] < start
    assert entropies[4] == entropies[5]
    assert strategy._temperature(0.0) == 5.0
    assert strategy._temperature(0.66) == pytest.approx(0.1)
    assert strategy._temperature(0.33) == pytest.approx(2.55)
    assert strategy.length_options() == [
        "strategy.delay", "strategy.settle", "strategy.temperature",
    ]  # fmt: skip


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="should leave out p_min with router 'gumbel'"):
        RoutingConfig(router="gumbel", p_min=0.1)
    trial = Trial("routing_networks", OPTIONS, {"training": {"weighting": {"name": "pcgrad"}}})
    with pytest.raises(MtlError, match="needs networks whose units are no mixtures"):
        trial.start(tmp_path / "run").execute()


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("settled", [False, True])
def test_blocks_that_no_task_has_drawn_stay_as_they_are(accumulate: int, settled: bool) -> None:
    torch.manual_seed(1)
    strategy = RoutingNetworks(RoutingConfig(**OPTIONS, shared_start=0.0))
    strategy.recipe = Recipe(TrainingConfig(accumulate=accumulate), 8)
    backbone = make_backbone("resnet18", normalization="task", **MODELS["resnet18"])
    network = strategy.build(backbone, Suite("drawn", make_tasks((2, 3)))).double()
    strategy.settled = settled
    for step in range(4):
        drawn: set[tuple[int, int]] = set()
        before = {name: value.clone() for name, value in network.named_parameters()}
        for part in range(accumulate):
            generator = torch.Generator()
            generator.set_state(strategy.generator.get_state())
            noise = gumbel_noise(strategy.agents.policy.pi.shape, generator)
            pi = strategy.agents.policy.pi
            chosen = pi.argmax(-1) if settled else (pi.log() + noise).argmax(-1)
            drawn |= {(u, k) for u, row in enumerate(chosen.tolist()) for k in row}
            strategy.gumbel_step(make_batch(network.tasks, seed=9 * step + part), 1.0)
        names = {id(p): name for name, p in network.named_parameters()}
        for bank in network.banks():
            for block, copy in enumerate(bank.copies):
                moved = [not torch.equal(before[names[id(p)]], p) for p in copy.parameters()]
                assert any(moved) is ((bank.unit, block) in drawn)
    assert not strategy.used.any()


def test_weight_decay_leaves_logits_of_routers_alone() -> None:
    strategy = RoutingNetworks(RoutingConfig(**OPTIONS))
    strategy.recipe = Recipe(TrainingConfig(weight_decay=0.1), 10)
    network = strategy.build(dense_backbone(), binary_suite(2))
    assert isinstance(network, GumbelNetworks)
    logits = {id(routes.logits) for routes in network.unit_routes()}
    decays = {
        id(p): group["weight_decay"]
        for group in strategy.optimizer.inner.param_groups
        for p in group["params"]
    }
    assert {decays[number] for number in logits} == {0.0}
    assert 0.1 in {decay for number, decay in decays.items() if number not in logits}
