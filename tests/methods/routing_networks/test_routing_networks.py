"""Routing networks: a step against the oracle, rewards, missing labels, processes, pictures."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mtl_routing_networks.config import RoutingConfig
from mtl_routing_networks.figures import route_figures
from mtl_routing_networks.strategy import RoutingNetworks
from pydantic import ValidationError
from support.adapter_loops import MODELS
from support.dense import binary_suite, dense_backbone
from support.lws import CLOSE, assert_equal, binary_batch, parameters
from support.makers import make_backbone, make_batch, make_tasks
from torch.multiprocessing.spawn import spawn

from mtl_framework import RunRecord
from mtl_framework.data import Batch, Examples, Regression, Suite, Task
from mtl_framework.networks.result import Result
from mtl_framework.reports.figure import png
from mtl_framework.testing import Oracle, Trial


def built(name: str, mode: str = "shared", **options: Any) -> RoutingNetworks:
    """Three tasks on a small timm model, in float64."""
    torch.manual_seed(1)
    suite = Suite("drawn", make_tasks((2, 3, 4)))
    strategy = RoutingNetworks(RoutingConfig(**options))
    strategy.build(make_backbone(name, normalization=mode, **MODELS[name]), suite).double()
    return strategy


def dense(tasks: int = 3, **options: Any) -> RoutingNetworks:
    torch.manual_seed(0)
    strategy = RoutingNetworks(RoutingConfig(**options))
    strategy.build(dense_backbone(norm=True), binary_suite(tasks)).double()
    return strategy


@pytest.mark.parametrize(
    ("name", "mode"),
    [("resnet18", "task"), ("convnext_atto", "shared"), ("vit_tiny_patch16_224", "shared")],
)
def test_a_step_agrees_with_plain_loops(name: str, mode: str) -> None:
    """Losses, gradients and averages are the oracle's; rewards those of the plain networks."""
    strategy = built(name, mode, optimizer="sgd", learning_rate=0.1, router_learning_rate=0.2)
    network = strategy.network
    batch = make_batch(network.tasks, 6)
    generator = torch.Generator().manual_seed(strategy.seed)
    path = strategy.agents.policy.sample(1, generator)
    wanted = Oracle(network).step(batch, path)
    before = parameters(network)
    losses, rewards = strategy.step(batch)
    torch.testing.assert_close(losses, wanted.losses, **CLOSE)
    for key, parameter in network.named_parameters():
        gradient = wanted.gradients.get(key)
        if gradient is None:  # of blocks that are on no path
            assert parameter.grad is None
            assert torch.equal(parameter.detach(), before[key])
        else:
            torch.testing.assert_close(parameter.grad, gradient, **CLOSE)
            moved = before[key] - 0.1 * gradient
            torch.testing.assert_close(parameter.detach(), moved, **CLOSE)
    for key, buffer in network.named_buffers():
        if "running" in key:
            torch.testing.assert_close(buffer, wanted.buffers[key], **CLOSE)
    assert rewards.shape == (1, 3)
    right = (rewards + 1) * 3  # of six answers
    torch.testing.assert_close(right, right.round(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("reward", ["correct", "loss"])
def test_rewards_are_right_answers_minus_wrong_ones_or_minus_the_loss(reward: str) -> None:
    torch.manual_seed(0)
    data = Examples(torch.rand(8, 6), torch.rand(8, 1))
    suite = binary_suite(2)
    tasks = [*suite.tasks, Task("number", Regression(1), data, data)]
    strategy = RoutingNetworks(RoutingConfig(weights_per_unit=1, reward=reward, paths=2))
    network = strategy.build(dense_backbone(), Suite("mixed", tasks)).double()
    drawn = binary_batch(2)
    batch = Batch(
        (*drawn.inputs, drawn.inputs[0]), (*drawn.targets, torch.rand(6, 1, dtype=torch.float64))
    )
    scores = [network.predict(task, batch.inputs[task])[:, 0] for task in range(2)]
    right = [((s > 0) == (y > 0)).double().mean() for s, y in zip(scores, batch.targets[:2])]  # noqa: B905
    losses, rewards = strategy.step(batch)
    assert losses.shape == rewards.shape == (2, 3)
    torch.testing.assert_close(rewards[:, 2], -losses[:, 2].double())
    if reward == "loss":
        torch.testing.assert_close(rewards, -losses.double())
    else:
        torch.testing.assert_close(rewards[:, 0], (2 * right[0] - 1).expand(2))
        torch.testing.assert_close(rewards[:, 1], (2 * right[1] - 1).expand(2))


def test_missing_labels_teach_neither_blocks_nor_agents() -> None:
    strategy = dense(router_learning_rate=0.3)
    full = binary_batch(3)
    none, some = torch.zeros(6).bool(), torch.tensor([1, 1, 0, 1, 0, 0]).bool()
    batch = Batch(full.inputs, full.targets, labelled=(some, none, None))
    before = strategy.agents.policy.pi.clone()
    _, first = strategy.step(batch)
    assert torch.equal(strategy.agents.policy.pi[:, 1], before[:, 1])
    assert strategy.agents.counts.sum((0, 2)).tolist() == [2, 0, 2]
    right = (first[0, 0] + 1) * 3 / 2  # of three answers
    torch.testing.assert_close(right, right.round(), rtol=0, atol=1e-5)
    assert strategy.recent.shares().sum(1).tolist() == [1, 1]
    strategy.step(binary_batch(3, 1))
    assert strategy.agents.counts.sum((0, 2)).tolist() == [4, 2, 4]


def test_micro_batches_change_nothing() -> None:
    whole, cut = (built("resnet18", paths=2, optimizer="sgd") for _ in range(2))
    cut.network.memory_budget = 1
    batch = make_batch(whole.network.tasks)
    assert len(cut.network.plan(batch, cut.network.assignment[None]).micro_batches) == 3
    losses, rewards = whole.step(batch)
    parts, earned = cut.step(batch)
    torch.testing.assert_close(parts, losses, **CLOSE)
    torch.testing.assert_close(earned, rewards)
    torch.testing.assert_close(cut.agents.policy.pi, whole.agents.policy.pi)
    for key, value in parameters(whole.network).items():
        torch.testing.assert_close(cut.network.get_parameter(key).detach(), value, **CLOSE)


def test_reduced_precision_and_a_weighting_of_gradients_work(tmp_path: Path) -> None:
    configs: list[dict[str, Any]] = [
        {"precision": "bf16"},
        {"training": {"weighting": {"name": "pcgrad"}}},
    ]
    for number, config in enumerate(configs):
        run = Trial("routing_networks", config=config).start(tmp_path / str(number))
        run.execute()
        strategy = run.strategy
        assert isinstance(strategy, RoutingNetworks)
        assert strategy.agents.counts.sum() == 5 * 3 * 3  # until they settle; units, tasks
        assert strategy.agents.policy.pi.isfinite().all()


def test_agents_wait_and_settle(tmp_path: Path) -> None:
    """Nothing is learned before the delay is over; in the end one path alone is trained."""
    seen: list[tuple[float, float]] = []

    def look(run: Any) -> None:
        agents = run.strategy.agents
        seen.append((agents.policy.entropy(), float(agents.counts.sum())))

    options = {"delay": 0.17, "settle": 0.34, "router_learning_rate": 0.5}
    run = Trial("routing_networks", options).start(tmp_path / "run", look)
    run.execute()
    strategy = run.strategy
    assert isinstance(strategy, RoutingNetworks)
    counts = [count for _, count in seen]
    assert counts == [0, 0, 9, 18, 18, 18]
    # with the first return nothing can be compared
    assert seen[2][0] == pytest.approx(torch.tensor(3.0).log())
    assert 0 < seen[3][0] < seen[2][0]
    assert seen[4][0] == 0
    assert strategy.settled
    assert strategy.length_options() == ["strategy.delay", "strategy.settle"]
    assert RoutingNetworks(RoutingConfig(settle=0)).length_options() == []


def test_tasks_share_everything_before_they_are_routed(tmp_path: Path) -> None:
    """In a shared start nobody decides and block 0 alone learns; then all blocks are copies."""
    seen: list[tuple[float, float]] = []

    def look(run: Any) -> None:
        parameters_of = run.strategy.network.bank_parameters
        zero, one = (
            torch.cat([p.detach().flatten() for u in range(3) for p in parameters_of(u, block)])
            for block in (0, 1)
        )
        seen.append((float(run.strategy.agents.counts.sum()), float((zero - one).norm())))

    options = {"shared_start": 0.5, "settle": 0.17, "router_learning_rate": 0.5}
    run = Trial("routing_networks", options).start(tmp_path / "run", look)
    run.execute()
    strategy = run.strategy
    assert isinstance(strategy, RoutingNetworks)
    assert [count for count, _ in seen] == [0, 0, 0, 9, 18, 18]
    assert seen[3][1] < 0.3 * seen[2][1]
    assert strategy.length_options() == ["strategy.settle", "strategy.shared_start"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shared_start": 0.8}, "should have shared_start below 1 - settle = 0.75"),
        ({"baseline": "action"}, "should have advantage 'return' with baseline 'action'"),
        ({"router": "gumbel", "standardize": False}, "should leave out standardize with router"),
        ({"router": "gumbel", "shared_start": 0.3}, "whose units are mixtures from the start"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RoutingConfig(**options)


def test_the_preset_paper_moves_agents_as_the_published_code_does() -> None:
    preset = RoutingNetworks.presets["paper"]["strategy"]
    assert (preset["advantage"], preset["standardize"]) == ("return", False)


def test_the_most_probable_path_is_taken_out_and_retrained_as_given(tmp_path: Path) -> None:
    trial = Trial("routing_networks", {"router_learning_rate": 0.5})
    trial.start(tmp_path / "run").execute()
    loaded = trial.load(tmp_path / "run")
    result = Result.load(tmp_path / "run")
    assert result.assignment is not None
    mode = loaded.strategy.agents.policy.mode().tolist()  # type: ignore[attr-defined]
    assert [list(row) for row in result.assignment.weights] == mode
    given = Trial("fixed_sharing", {"from_run": str(tmp_path / "run")})
    again = given.start(tmp_path / "again")
    same = [[row[0] == other for other in row] for row in mode]
    rows = again.network.assignment.tolist()  # type: ignore[operator]
    assert [[row[0] == other for other in row] for row in rows] == same


def test_the_figures_show_routes_and_collapse(tmp_path: Path) -> None:
    trial = Trial("routing_networks", {"router_learning_rate": 0.5})
    trial.start(tmp_path / "run").execute()
    result = Result.load(tmp_path / "run")
    record = RunRecord("routed", "trial", "trial", 0, tmp_path / "run", 6, "done", result)
    routes, collapse = route_figures([record])
    assert result.assignment is not None
    first = [str(row[0] + 1) for row in result.assignment.weights]
    assert f"rows: {', '.join(first)}." in routes.alt
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    last = [line["metrics"] for line in map(json.loads, lines) if "metrics" in line][-1]
    assert f"low: {100 * last['largest'][0]:.0f} %" in collapse.alt
    same = sum(len(set(row)) == 1 for row in result.assignment.weights)
    assert f"In {same} of 3 units" in routes.caption
    assert "with 3 tasks and 3 blocks, it is 33 % at the least" in collapse.caption
    for figure in (routes, collapse):
        assert png(figure.figure).startswith(b"\x89PNG")


def train_as_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    strategy = dense(router_learning_rate=0.3, paths=2)
    for seed in range(3):
        full = binary_batch(3, 10 * seed + rank)
        none = torch.zeros(6).bool()
        lacking = (None, none, None) if rank == 0 else (None, None, None)
        strategy.step(Batch(full.inputs, full.targets, labelled=lacking))
    torch.save(strategy.agents.state_dict(), f"{folder}/agents{rank}")
    torch.save(parameters(strategy.network), f"{folder}/parameters{rank}")
    soft = dense(router="gumbel", router_learning_rate=0.3)
    for seed in range(3):
        soft.gumbel_step(binary_batch(3, 10 * seed + rank), 1.0)
    torch.save(parameters(soft.network), f"{folder}/soft{rank}")
    dist.destroy_process_group()


@pytest.mark.long
def test_processes_with_their_own_examples_learn_the_same(tmp_path: Path) -> None:
    spawn(train_as_rank, (str(tmp_path),), nprocs=2)
    agents = [torch.load(tmp_path / f"agents{rank}", weights_only=True) for rank in range(2)]
    weights = [torch.load(tmp_path / f"parameters{rank}", weights_only=True) for rank in range(2)]
    assert_equal(*(state.pop("scale") for state in agents))
    assert_equal(agents[0], agents[1])
    assert_equal(weights[0], weights[1])
    soft = [torch.load(tmp_path / f"soft{rank}", weights_only=True) for rank in range(2)]
    assert_equal(soft[0], soft[1])
    assert soft[0]["mixed.0.logits"].abs().max() > 0.1
    assert agents[0]["counts"].sum((0, 2)).tolist() == [12, 12, 12]  # steps, paths, units
