"""Runs on a GPU: every strategy keeps its promises there, and what was trained there runs anywhere.

All of it is skipped where there is no GPU.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.waits import Waits

from mtl_framework import load_run, run
from mtl_framework.networks.result import Result
from mtl_framework.plugins.manager import Plugins
from mtl_framework.testing import (
    Trial,
    check_contract,
    check_extraction,
    check_resuming,
    check_same_seed,
)

CUDA = torch.cuda.is_available()
needs_gpu = pytest.mark.skipif(not CUDA, reason="no CUDA device")
STRATEGIES = Plugins.load().names("strategy")
OPTIONS: dict[str, dict[str, Any]] = {
    "fixed_sharing": {"shared_first": "half"},
    "lws": {"nes_samples": 4, "weight_samples": 2},
    "muir": {"block_out": 4, "block_in": 4, "indivisible": "ordinary"},
}
# how often a step may wait for the device: the search ranks losses on the CPU, routers learn there
ALLOWED_WAITS = {"lws": 1, "routing_networks": 1}


def trained(
    folder: Path, strategy: str, iterations: int = 4, plugins: Plugins | None = None
) -> Result:
    settings: dict[str, Any] = {"iterations": iterations, "eval_every": iterations, "batch_size": 8}
    return run(
        strategy, "dkl_convnet", {"name": "digits", "size": 12}, output=folder, device="cuda",
        progress=False, plugins=plugins, **settings, **OPTIONS.get(strategy, {}),
    )  # fmt: skip


@needs_gpu
@pytest.mark.parametrize(
    "check", [check_contract, check_same_seed, check_resuming, check_extraction]
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_keep_their_promises_on_it(strategy: str, check: Any, tmp_path: Path) -> None:
    check(Trial(strategy, OPTIONS.get(strategy, {}), config={"device": "cuda"}), tmp_path)


@needs_gpu
@pytest.mark.parametrize("check", [check_contract, check_resuming, check_extraction])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_all_weights_of_a_unit_run_in_one_call_on_it(
    precision: str, check: Any, tmp_path: Path
) -> None:
    config = {"device": "cuda", "batched_weights": True, "precision": precision}
    check(Trial("lws", OPTIONS["lws"], config=config), tmp_path)


@needs_gpu
@pytest.mark.parametrize("check", [check_contract, check_resuming, check_extraction])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_steps_that_repeat_are_replayed_on_it(strategy: str, check: Any, tmp_path: Path) -> None:
    config = {"device": "cuda", "cuda_graphs": True}
    check(Trial(strategy, OPTIONS.get(strategy, {}), config=config), tmp_path)


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("strategy", ["full_sharing", "cross_stitch", "lws"])
def test_what_is_replayed_learns_the_same(strategy: str, precision: str, tmp_path: Path) -> None:
    losses = []
    for graphs in (False, True):
        result = run(
            strategy, "dkl_convnet", {"name": "digits", "size": 12},
            output=tmp_path / str(graphs), progress=False, device="cuda", precision=precision,
            iterations=20, eval_every=10, batch_size=8, cuda_graphs=graphs,
            **OPTIONS.get(strategy, {}),
        )  # fmt: skip
        losses.append(result.test.loss_per_task)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if precision == "fp32" else 0.05)


@needs_gpu
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_was_trained_there_is_evaluated_alike_on_the_cpu(
    strategy: str, tmp_path: Path
) -> None:
    wanted = trained(tmp_path / "run", strategy).test.loss_per_task
    found = load_run(tmp_path / "run").evaluate().splits["test"].loss_per_task
    assert found == pytest.approx(wanted, rel=0.02)


@needs_gpu
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_steps_do_not_wait_for_it(strategy: str, tmp_path: Path) -> None:
    """Between two entries of the log, which are written every ten iterations."""
    with Waits() as waits:
        trained(tmp_path / "run", strategy, 12, plugins=waits.plugins)
    steps = range(3, 9)
    count = len(waits.between(steps.start, steps.stop))
    report = waits.report(steps.start, steps.stop)
    assert count <= ALLOWED_WAITS.get(strategy, 0) * len(steps), report
