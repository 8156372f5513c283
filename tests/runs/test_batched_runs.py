"""Runs whose units have all weights in one call are runs as ever."""

from pathlib import Path
from typing import Any

import pytest

from mtl_framework import run
from mtl_framework.networks.result import Result
from mtl_framework.testing import (
    Trial,
    check_contract,
    check_extraction,
    check_resuming,
)

# what torch.vmap can only run in a loop
pytestmark = pytest.mark.filterwarnings("error:There is a performance drop")

OPTIONS: dict[str, dict[str, Any]] = {
    "lws": {"nes_samples": 4, "weight_samples": 2},
    "adapters": {},
    "cross_stitch": {},
    "recon": {},
    "soft_ordering": {},  # whose banks mix all layers, and stay as they are
}


@pytest.mark.parametrize("check", [check_contract, check_resuming, check_extraction])
@pytest.mark.parametrize("strategy", OPTIONS)
def test_strategies_keep_their_promises(strategy: str, check: Any, tmp_path: Path) -> None:
    check(Trial(strategy, OPTIONS[strategy], config={"batched_weights": True}), tmp_path)


def trained(folder: Path, batched: bool) -> Result:
    return run(
        "lws", "dkl_convnet", {"name": "digits", "size": 12}, output=folder, progress=False,
        iterations=6, eval_every=6, batch_size=8, batched_weights=batched, **OPTIONS["lws"],
    )  # fmt: skip


def test_a_run_learns_the_same_up_to_rounding(tmp_path: Path) -> None:
    one, other = (trained(tmp_path / str(batched), batched) for batched in (False, True))
    for task, loss in one.test.loss_per_task.items():
        assert other.test.loss_per_task[task] == pytest.approx(loss, rel=1e-2)
    assert one.parameters == other.parameters


@pytest.mark.parametrize(("strategy", "changes"), [("full_sharing", False), ("no_sharing", True)])
def test_where_it_changes_nothing_a_line_says_so(
    strategy: str, changes: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        strategy, "dkl_convnet", {"name": "digits", "size": 12}, output=tmp_path / "run",
        iterations=2, eval_every=2, batch_size=8, batched_weights=True,
    )  # fmt: skip
    shown = capsys.readouterr()
    assert ("batched_weights changes nothing" in shown.out + shown.err) is not changes
