"""Agents: steps on the simplex, returns, collaboration, and two blocks of which each has a best."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtl_routing_networks.agents import (
    Agents,
    Learner,
    project,
    reinforce_step,
    weighted_policy_step,
)
from mtl_routing_networks.collaboration import RecentDecisions, returns
from mtl_routing_networks.collapse import blocks_in_use, largest_groups
from mtl_routing_networks.running_scale import RunningScale
from torch import Tensor

from mtl_framework.support.errors import MtlError

STEPS = {"wpl": weighted_policy_step, "reinforce": reinforce_step}
EVERY = torch.ones(2, dtype=torch.bool)


def distributions(seed: int, weights: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 2, weights, generator=generator, dtype=torch.float64).softmax(-1)


@pytest.mark.parametrize("name", STEPS)
@given(seed=st.integers(0, 99), advantage=st.floats(-2, 2), rate=st.floats(0, 1))
def test_a_step_stays_on_the_simplex_and_moves_towards_what_was_better(
    name: str, seed: int, advantage: float, rate: float
) -> None:
    pi = distributions(seed)
    taken = torch.zeros_like(pi)
    taken[..., 1] = 1
    moved = project(STEPS[name](pi, taken, torch.full((2, 2, 1), advantage).double(), rate), 0.0)
    torch.testing.assert_close(moved.sum(-1), torch.ones(2, 2).double())
    assert moved.min() >= 0
    change = moved[..., 1] - pi[..., 1]
    if abs(advantage) * rate < 1e-9:
        torch.testing.assert_close(moved, pi)
    else:
        assert (change.sign() == (1 if advantage > 0 else -1)).all()


def test_the_weighted_policy_learner_slows_down_where_it_is_going() -> None:
    pi = torch.tensor([[[0.2, 0.8]]], dtype=torch.float64)
    taken = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)

    def step(advantage: float) -> list[float]:
        by = torch.full((1, 1, 1), advantage, dtype=torch.float64)
        moved: list[float] = weighted_policy_step(pi, taken, by, 0.1).flatten().tolist()
        return moved

    assert step(0.5) == pytest.approx([0.24, 0.8])
    assert step(-0.5) == pytest.approx([0.19, 0.8])
    assert step(0.0) == pytest.approx([0.2, 0.8])


def test_reinforce_moves_logits_along_the_derivative_of_the_logarithm() -> None:
    pi = distributions(3)
    logits = pi.log().requires_grad_()
    chosen = torch.tensor([[0, 2], [1, 1]])
    taken = torch.nn.functional.one_hot(chosen, 3).double()
    advantage = torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=torch.float64)
    log_probabilities = logits.log_softmax(-1).gather(2, chosen[..., None]).squeeze(2)
    (gradient,) = torch.autograd.grad((advantage * log_probabilities).sum(), logits)
    wanted = (logits + 0.3 * gradient).softmax(-1).detach()
    torch.testing.assert_close(reinforce_step(pi, taken, advantage[..., None], 0.3), wanted)


@given(seed=st.integers(0, 99), weights=st.integers(1, 5), floor=st.floats(0, 0.15))
def test_a_projection_is_the_nearest_distribution(seed: int, weights: int, floor: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    point = torch.randn(weights, generator=generator, dtype=torch.float64)
    nearest = project(point, floor)
    assert nearest.min() >= floor - 1e-12
    assert float(nearest.sum()) == pytest.approx(1)
    others = torch.rand(500, weights, generator=generator, dtype=torch.float64).softmax(-1)
    others = floor + (1 - weights * floor) * others
    assert ((others - point).norm(dim=1) >= (nearest - point).norm() - 1e-9).all()
    torch.testing.assert_close(project(nearest, floor), nearest)
    example = project(torch.tensor([0.9, 0.4], dtype=torch.float64), 0.0)
    assert [round(x, 12) for x in example.tolist()] == [0.75, 0.25]


def learned(
    name: Learner,
    collaboration: float = 0.0,
    steps: int = 400,
    gap: float = 0.4,
    noise: float = 0.1,
    rate: float = 0.3,
    **options: Any,
) -> Agents:
    """Two tasks and two units; task t is better off with block t everywhere, by a noisy reward."""
    generator = torch.Generator().manual_seed(0)
    agents = Agents(2, 2, 2, learner=name, p_min=1e-3, **options)
    recent = RecentDecisions(2, 2, 64)
    best = torch.tensor([[0, 1], [0, 1]])
    for _ in range(steps):
        paths = agents.policy.sample(1, generator)
        by_chance = noise * torch.randn(1, 2, generator=generator).double()
        rewards = gap * (paths == best).double().mean(1) + by_chance
        brought = returns(rewards, paths, recent.shares(), collaboration)
        agents.learn(paths, brought, rate, EVERY)
        recent.add(paths.transpose(0, 1).flatten(1))
    return agents


@pytest.mark.parametrize("name", STEPS)
def test_each_agent_finds_the_block_that_suits_its_task(name: Any) -> None:
    agents = learned(name)
    assert agents.policy.mode().tolist() == [[0, 1], [0, 1]]
    assert agents.policy.pi.amax(-1).min() > 0.6
    values = agents.values
    assert (values[:, 0, 0] > values[:, 0, 1]).all()
    assert (values[:, 1, 1] > values[:, 1, 0]).all()


@pytest.mark.parametrize("name", STEPS)
def test_collaboration_raises_the_share_of_common_blocks(name: Any) -> None:
    """The tasks' own gain is small; what they earn together is more."""
    apart = learned(name, gap=0.1)
    together = learned(name, gap=0.1, collaboration=1.0)
    assert largest_groups(apart.policy.mode()).tolist() == [0.5, 0.5]
    assert largest_groups(together.policy.mode()).tolist() == [1.0, 1.0]


def test_returns_are_the_worked_example_and_a_sum_from_there_on() -> None:
    shares = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=torch.float64)
    paths = torch.tensor([[[0, 1], [1, 0]], [[1, 1], [0, 1]]])  # (samples, units, tasks)
    rewards = torch.tensor([[1.0, -1.0], [0.0, 2.0]], dtype=torch.float64)
    brought = returns(rewards, paths, shares, 0.2)
    for sample in range(2):
        for unit in range(2):
            for task in range(2):
                later = [float(shares[v, paths[sample, v, task]]) for v in range(unit, 2)]
                wanted = float(rewards[sample, task]) + 0.2 / 2 * sum(later)
                assert float(brought[sample, unit, task]) == pytest.approx(wanted)
    assert brought[0, :, 0].tolist() == pytest.approx([1.15, 1.1])


def test_recent_decisions_forget_the_oldest() -> None:
    recent = RecentDecisions(1, 3, 4)
    assert recent.shares().tolist() == [[0, 0, 0]]
    recent.add(torch.tensor([[0, 2]]))
    assert recent.shares().tolist() == [[0.5, 0, 0.5]]
    recent.add(torch.tensor([[2, 1, 1]]))
    assert recent.shares().tolist() == [[0, 0.5, 0.5]]
    other = RecentDecisions(1, 3, 4)
    other.load_state_dict(recent.state_dict())
    assert torch.equal(other.shares(), recent.shares())
    with pytest.raises(MtlError, match=r"saved decisions have shape \(1, 4\), these have \(1, 5\)"):
        RecentDecisions(1, 3, 5).load_state_dict(recent.state_dict())


def test_agents_decide_where_rewards_are_mostly_noise() -> None:
    """Steps by single returns drive wpl back to the middle, however much better a block is."""
    noisy: dict[str, Any] = {"noise": 0.3, "rate": 0.1, "steps": 300}
    names: tuple[Learner, ...] = ("wpl", "reinforce")
    for name in names:
        agents = learned(name, **noisy)
        assert agents.policy.mode().tolist() == [[0, 1], [0, 1]]
        assert agents.policy.pi.amax(-1).min() > 0.9
    published = learned("wpl", advantage="return", standardize=False, **noisy)
    assert published.policy.pi.amax(-1).max() < 0.75


@pytest.mark.parametrize("standardize", [True, False])
def test_steps_by_values_are_those_of_plain_loops(standardize: bool) -> None:
    """One agent, three blocks, in plain Python; the floor is not reached."""
    generator = torch.Generator().manual_seed(4)
    agents = Agents(1, 1, 3, p_min=0.0, value_rate=0.2, standardize=standardize)
    pi, values, counts = [1 / 3] * 3, [0.0] * 3, [0] * 3
    mean = variance = 0.0
    for number in range(1, 31):
        block = int(torch.randint(3, (1,), generator=generator))
        reward = float(torch.randn((), generator=generator)) + 0.5 * block
        path = torch.full((1, 1, 1), block)
        agents.learn(path, torch.full((1, 1, 1), reward, dtype=torch.float64), 0.05, EVERY[:1])
        seen = reward
        if standardize:
            weight, away = max(1 / number, 0.2), reward - mean if number > 1 else 0.0
            variance += weight * (away**2 - variance)
            mean += weight * (reward - mean)
            seen = away / variance**0.5 if variance else 0.0
        counts[block] += 1
        values[block] += max(1 / counts[block], 0.2) * (seen - values[block])
        known = [k for k in range(3) if counts[k]]
        average = sum(pi[k] * values[k] for k in known) / sum(pi[k] for k in known)
        for k in known:
            better = values[k] - average
            pi[k] += 0.05 * better * (pi[k] if better < 0 else 1 - pi[k])
        excess = (sum(pi) - 1) / 3
        pi = [p - excess for p in pi]
        assert min(pi) > 0
        assert agents.policy.pi.flatten().tolist() == pytest.approx(pi)
        assert agents.values.flatten().tolist() == pytest.approx(values)


def test_rewards_that_rise_speak_for_no_block() -> None:
    """Block 1 is as good as block 0, but drawn later; standardised, both have the same value."""
    values = {}
    for standardize in (True, False):
        agents = Agents(1, 1, 2, standardize=standardize)
        for number in range(200):
            path = torch.full((1, 1, 1), number // 100)
            agents.learn(path, torch.full((1, 1, 1), 0.01 * number).double(), 0.0, EVERY[:1])
        values[standardize] = agents.values.flatten()
    assert values[False][1] > values[False][0] + 0.8  # of 2 in all
    torch.testing.assert_close(*values[True].split(1), rtol=0.1, atol=0)


def test_what_agents_see_is_standardised_by_task_and_starts_at_nothing() -> None:
    scale = RunningScale(1, 2, 0.1)
    only_first = torch.tensor([True, False])
    seen = [
        scale.standardized(torch.tensor([[value, 7.0]]).double(), only_first).tolist()[0]
        for value in (1.0, 2.0)
    ]
    assert seen == [[0, 0], [pytest.approx(2**0.5), 0]]
    assert scale.mean.tolist() == [[1.5, 0]]
    assert scale.variance.tolist() == [[0.5, 0]]
    assert scale.count.tolist() == [2, 0]
    generator = torch.Generator().manual_seed(0)
    drawn = 5 + 3 * torch.randn(2000, generator=generator).double()
    views = [scale.standardized(one.expand(1, 2), EVERY)[0, 1] for one in drawn]
    many = torch.stack(views[100:])
    assert abs(float(many.mean())) < 0.1
    assert 0.8 < float(many.std()) < 1.3
    far = scale.standardized(torch.full((1, 2), 1e6).double(), EVERY)
    assert float(far.max()) <= 10**0.5 + 1e-9
    with pytest.raises(MtlError, match=r"saved mean of returns has shape \(1, 2\), this one has"):
        RunningScale(2, 2, 0.1).load_state_dict(scale.state_dict())


def test_agents_that_are_saved_go_on_as_if_they_had_not_been() -> None:
    agents = learned("wpl", steps=20)
    other = Agents(2, 2, 2, learner="wpl", p_min=1e-3)
    other.load_state_dict(agents.state_dict())
    path, brought = torch.zeros(1, 2, 2, dtype=torch.int64), torch.ones(1, 2, 2).double()
    for one in (agents, other):
        one.learn(path, brought, 0.3, EVERY)
    assert torch.equal(agents.policy.pi, other.policy.pi)
    assert torch.equal(agents.values, other.values)


def test_values_are_running_means_and_what_has_no_reward_teaches_nothing() -> None:
    agents = Agents(1, 2, 2, value_rate=0.25, advantage="return", standardize=False)
    judged = torch.tensor([True, False])
    pi = agents.policy.pi.clone()
    path = torch.zeros(1, 1, 2, dtype=torch.int64)
    expected = 0.0
    for number, reward in enumerate((1.0, 0.0, 0.5, 1.0, 1.0, 0.0)):
        assert float(agents.expected(path[0])[0, 0]) == pytest.approx(expected)
        agents.learn(path, torch.full((1, 1, 2), reward).double(), 0.1, judged)
        expected += max(1 / (number + 1), 0.25) * (reward - expected)
        assert float(agents.values[0, 0, 0]) == pytest.approx(expected)
    assert torch.equal(agents.policy.pi[0, 1], pi[0, 1])
    assert agents.counts.tolist() == [[[6, 0], [0, 0]]]
    assert not torch.equal(agents.policy.pi[0, 0], pi[0, 0])
    action = Agents(1, 2, 2, baseline="action", advantage="return")
    action.values[0, 0] = torch.tensor([0.3, 0.7], dtype=torch.float64)
    assert action.expected(path[0])[0, 0] == 0.3


def test_wrong_tables_are_refused() -> None:
    with pytest.raises(MtlError, match=r"p_min should be below 1 / weights_per_unit = 0\.5"):
        Agents(1, 1, 2, p_min=0.5)
    state = Agents(1, 2, 2).state_dict()
    with pytest.raises(MtlError, match="saved search distribution has shape"):
        Agents(1, 2, 3).load_state_dict(state)
    state["counts"] = torch.zeros(1)
    with pytest.raises(MtlError, match=r"saved counts of blocks have shape \(1,\)"):
        Agents(1, 2, 2).load_state_dict(state)
    del state["scale"]  # as before returns were standardised
    with pytest.raises(MtlError, match="saved agents saw returns as they are"):
        Agents(1, 2, 2).load_state_dict(state)


def test_collapse_is_counted_by_unit() -> None:
    assignment = torch.tensor([[0, 0, 0, 0], [1, 0, 1, 2], [3, 2, 1, 0]])
    assert largest_groups(assignment).tolist() == [1, 0.5, 0.25]
    assert blocks_in_use(assignment).tolist() == [1, 3, 4]
