"""Multiply-accumulates of a run's steps: counted right, in steps that depend on nothing else."""

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
from mtl_framework.runs.operations import MacCounter, Operations, mean_macs
from mtl_framework.runs.progress_state import ProgressState
from mtl_framework.runs.run import Run


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
    assert counts[0] == counts[1] > 0


def counted(steps: int, operations: Operations | None = None, after: int = 0) -> dict[int, int]:
    """What is kept of steps, each of which takes its number of multiply-accumulates."""
    operations = operations or Operations({})
    for number in range(after + 1, steps + 1):
        a, b = torch.ones(1, number), torch.ones(number, 1)
        assert operations.during(number, lambda a=a, b=b: a @ b).item() == number  # type: ignore[misc]
    return operations.counts


@given(st.integers(1, 700))
def test_counted_steps_are_evenly_spread_and_at_most_forty(steps: int) -> None:
    counts = counted(steps)
    stride = min(counts)
    assert list(counts) == list(range(stride, steps + 1, stride))
    assert min(steps, 20) <= len(counts) <= 40
    assert all(macs == number for number, macs in counts.items())
    mean = mean_macs(counts)
    assert mean is not None
    assert abs(mean - (steps + 1) / 2) <= stride  # of 1, 2, ..., steps


@given(st.integers(1, 300), st.integers(0, 300))
def test_a_run_that_goes_on_counts_the_same_steps(steps: int, more: int) -> None:
    before = dict(counted(steps))
    assert counted(steps + more, Operations(before), after=steps) == counted(steps + more)


def test_a_run_says_what_its_steps_took_however_it_was_stopped(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", strategy="routed").execute()
    assert whole.macs is not None
    assert whole.macs > 0
    finish(start(tmp_path / "stopped", strategy="routed"), stop_at=4)
    again = start(tmp_path / "stopped", strategy="routed", resume=True)
    assert set(ProgressState.from_plain(again._milestones.state.to_plain()).macs) == {1, 2, 3, 4}
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
    assert not Operations.of(ProgressState(iteration=5), config, cpu).on
    assert Operations.of(ProgressState(iteration=5, macs={1: 3}), config, cpu).on
    off = Operations({}, on=False)
    assert off.during(1, lambda: "done") == "done"
    assert mean_macs(off.counts) is None
