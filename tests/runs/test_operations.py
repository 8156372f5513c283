"""Multiply-accumulates of a run's steps: counted right, in steps that depend on nothing else."""

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny import content, finish, start
from torch.utils.flop_counter import FlopCounterMode

from mtl_framework.networks.result import Result
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import check_config
from mtl_framework.runs.operations import MacCounter, Operations, is_counted, level_of, mean_macs
from mtl_framework.runs.progress_state import ProgressState
from mtl_framework.runs.run import Run
from mtl_framework.runs.strategy_checks import Steps
from mtl_framework.strategies.step import Step


def test_a_layer_forwards_and_backwards_by_hand() -> None:
    rows, inputs, outputs = 3, 5, 7
    x = torch.randn(rows, inputs, requires_grad=True)
    layer = torch.nn.Linear(inputs, outputs)
    with MacCounter() as counter:
        layer(x).sum().backward()
    forwards = sum(1 for _ in range(rows) for _ in range(outputs) for _ in range(inputs))
    assert counter.macs == 3 * forwards  # and the gradients of the inputs and of the weight


def test_a_convolution_by_hand() -> None:
    layer = torch.nn.Conv2d(2, 4, 3, bias=False)
    with MacCounter() as counter, torch.no_grad():
        layer(torch.randn(5, 2, 6, 8))
    assert counter.macs == 5 * 4 * (4 * 6) * (2 * 3 * 3)  # images, channels, places, window


def test_attention_by_hand() -> None:
    """On a CPU it is an operation that torch's counter does not know."""
    heads, tokens, width = 2, 6, 8
    q, k, v = (torch.randn(1, heads, tokens, width, requires_grad=True) for _ in range(3))
    with MacCounter() as counter:
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert counter.macs == 2 * heads * tokens * tokens * width  # scores, and what they weigh
    with MacCounter() as counter:
        out.sum().backward()
    assert counter.macs == 5 * heads * tokens * tokens * width  # scores again, and four gradients


def test_operations_without_gradients_are_counted_alike() -> None:
    layer = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    x = torch.randn(5, 1, 4, 4)
    found = []
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode(), MacCounter() as counter:
            out = layer(x)
        found.append((counter.macs, out.tolist()))
    assert found[0][0] == 5 * (2 * 4 * 9 + 8 * 3)
    assert found[0] == found[1] == found[2]


def test_what_is_compiled_as_a_whole_still_runs() -> None:
    compiled = torch.compile(lambda x: torch.relu(x @ x), backend="eager", fullgraph=True)
    x = torch.randn(3, 3)
    with MacCounter():
        assert torch.equal(compiled(x), torch.relu(x @ x))


def test_a_strategy_that_ends_has_no_further_step() -> None:
    def loop() -> Generator[Step, None, None]:
        yield Step(torch.ones(1, 2) @ torch.ones(2, 1))
        yield Step(torch.ones(1, 4) @ torch.ones(4, 1))

    operations = Operations({})
    steps = Steps("ends", loop(), operations.during)
    assert [steps.next(number) is None for number in (1, 2)] == [False, False]
    assert operations.counts == {2: 4}
    again = Operations({})
    steps = Steps("ends", loop(), again.during)
    steps.next(1)
    steps.next(3)
    assert steps.next(2) is None  # the number of a step that would be counted
    assert again.counts == {}


CONFIGS: list[dict[str, Any]] = [
    {"strategy": {"name": "lws"}},
    {"strategy": {"name": "cross_stitch", "after": "block"}},
    {"strategy": {"name": "soft_ordering"}},
    {"strategy": {"name": "adapters", "kind": "low_rank", "trunk": "trained"}},
    {
        "strategy": {"name": "no_sharing"},
        "backbone": {"name": "vit_tiny_patch16_224"},
        "suite": {"name": "digits", "size": 32},
    },
    {"strategy": {"name": "full_sharing"}, "precision": "bf16"},
]


@pytest.mark.parametrize("changes", CONFIGS, ids=lambda c: c["strategy"]["name"])
def test_a_step_has_the_count_of_torchs_own_counter(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    backbone = {"name": "dkl_convnet"}
    config = {
        "suite": {"name": "digits"},
        "backbone": backbone,
        "device": "cpu",
        "iterations": 1,
        **changes,
    }
    counts = []
    for counter in (MacCounter(), FlopCounterMode(display=False)):
        run = Run.start(check_config(config), Plugins.load(), tmp_path / "run", claim=False)
        loop = run.strategy.optimize(run)
        with counter:
            next(loop)
        run.close()
        counts.append(
            counter.macs if isinstance(counter, MacCounter) else counter.get_total_flops() / 2
        )
    attention = 0
    if "vit" in str(changes):  # torch's counter lacks it on a CPU: 2 products, and 5 backwards
        tasks, layers, heads, width, tokens = 3, 12, 3, 64, 5
        attention = 7 * tasks * run.batch_size * layers * heads * width * tokens**2
    assert counts[0] == counts[1] + attention > 0


def counted(steps: int, operations: Operations | None = None, after: int = 0) -> dict[int, int]:
    """What is kept of steps, each of which takes its number of multiply-accumulates."""
    operations = operations or Operations({})

    def step(number: int) -> int:
        if is_counted(number, level_of(number)):  # others need not be done to see what is kept
            torch.ones(1, number) @ torch.ones(number, 1)
        return number

    for number in range(after + 1, steps + 1):
        assert operations.during(number, partial(step, number)) == number
    return operations.counts


@given(st.integers(2, 6000))
def test_of_every_block_of_steps_at_most_one_is_counted_all_through_a_run(steps: int) -> None:
    counts = counted(steps)
    level = level_of(max(counts))  # when the last one was counted, others went
    size = 32 << level
    blocks = [(number - 1) // size for number in counts]
    assert sorted(set(blocks)) == sorted(blocks)
    assert set(range((steps - 1) // size)) - set(blocks) <= {(max(counts) - 1) // size + 1}
    assert len(counts) <= 41
    assert all(macs == number for number, macs in counts.items())
    if steps > 320:
        mean = mean_macs(counts)
        assert mean is not None
        assert mean == pytest.approx((steps + 1) / 2, rel=0.2)  # of 1, 2, ..., steps


def test_short_runs_are_counted_by_their_second_step() -> None:
    assert counted(1) == {}
    assert counted(2) == {2: 2}
    assert set(counted(32)) == {2}


@pytest.mark.parametrize("period", [2, 3, 5, 10, 16, 32])
def test_what_is_done_at_a_regular_distance_is_neither_always_hit_nor_missed(period: int) -> None:
    """Over many run lengths the share of such steps among the counted ones is about right."""
    found = [
        sum(n % period == 0 for n in range(2, steps) if is_counted(n, level_of(steps)))
        / sum(is_counted(n, level_of(steps)) for n in range(2, steps))
        for steps in range(1280, 12_800, 640)
    ]
    assert sum(found) / len(found) == pytest.approx(1 / period, rel=0.6, abs=0.01)


@given(st.integers(1, 1500), st.integers(0, 1500))
def test_a_run_that_goes_on_counts_the_same_steps(steps: int, more: int) -> None:
    before = dict(counted(steps))
    assert counted(steps + more, Operations(before), after=steps) == counted(steps + more)


def test_a_run_says_what_its_steps_took_however_it_was_stopped(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", strategy="routed").execute()
    assert whole.macs is not None
    assert whole.macs > 0
    finish(start(tmp_path / "stopped", strategy="routed"), stop_at=4)
    again = start(tmp_path / "stopped", strategy="routed", resume=True)
    assert set(ProgressState.from_plain(again._milestones.state.to_plain()).macs) == {2}
    assert again.execute().macs == whole.macs
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")
    assert Result.load(tmp_path / "whole").macs == whole.macs


def test_counting_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = {"name": "lws", "shared_start": 0, "search_data": 0}
    config = {
        "suite": {"name": "digits"},
        "backbone": {"name": "dkl_convnet"},
        "iterations": 4,
        "device": "cpu",
    }
    weights = []
    for on in (True, False):
        monkeypatch.setattr(Operations, "of", lambda *_, on=on: Operations({}, on))
        made = check_config({**config, "strategy": strategy})
        run = Run.start(made, Plugins.load(), tmp_path / str(on))
        run.execute()
        weights.append([p.detach().clone() for p in run.network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_what_cannot_be_known_is_not_said() -> None:
    """Steps that a GPU replays, and runs that began before steps were counted."""
    config = check_config(
        {"suite": {"name": "digits"}, "strategy": {"name": "no_sharing"}, "cuda_graphs": True}
    )
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert not Operations.of(ProgressState(), config, gpu).on
    assert Operations.of(ProgressState(), config, cpu).on
    assert Operations.of(ProgressState(iteration=1), config, cpu).on
    assert not Operations.of(ProgressState(iteration=5), config, cpu).on
    assert Operations.of(ProgressState(iteration=5, macs={1: 3}), config, cpu).on
    budget = config.model_copy(update={"memory_budget": 100, "cuda_graphs": False})
    state = ProgressState(iteration=5, macs={2: 3})
    assert not Operations.of(state, budget, cpu).on
    assert state.macs == {}
    off = Operations({}, on=False)
    assert off.during(2, lambda: "done") == "done"
    assert mean_macs(off.counts) is None
