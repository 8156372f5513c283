"""Two processes train the same run as one, up to rounding, and either goes on with the other's."""

from pathlib import Path
from typing import Any

import pytest
from support.several import free_strategies, run_by_two, small_run

from mtl_framework.networks.result import Result

#: One draws dropout's masks, the other normalises over batches of which each process has a part.
ANOTHER_RUN = ("pta", "nddr")
#: It measures on each process's part of a batch, and averages; both processes start alike.
PRIOR = {"strategy": "lws", "prior": "conflict", "prior_iterations": 2}
SAME = free_strategies(ANOTHER_RUN)
#: What runs that stop early have: these strategies do other things in the last part of a run.
UNSETTLED: dict[str, dict[str, Any]] = {"fafs": {"settle": 0.0}, "roaming": {"settle": 0.0}}
BY_GRADIENTS = {"estimator": "gumbel", "nes_learning_rate": 0.3}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes, of every strategy; each stops early, too, and goes on from one."""
    folder = tmp_path_factory.mktemp("together")
    runs: dict[str, dict[str, Any]] = {name: {"strategy": name} for name in (*SAME, *ANOTHER_RUN)}
    runs["prior"] = PRIOR
    runs["by gradients"] = {"strategy": "lws", **BY_GRADIENTS}
    for name in SAME:
        own = UNSETTLED.get(name, {})
        small_run(name, folder / f"{name} from one", iterations=2, **own)
        runs[f"{name} from one"] = {"strategy": name, "resume": True, **own}
        runs[f"{name} from two"] = {"strategy": name, "iterations": 2, **own}
    run_by_two(folder, runs)
    return folder


def losses(folder: Path) -> dict[str, float]:
    return Result.load(folder / "result.json").test.loss_per_task


@pytest.mark.long
@pytest.mark.parametrize("strategy", SAME)
def test_two_processes_do_the_run_of_one(together: Path, tmp_path: Path, strategy: str) -> None:
    alone = small_run(strategy, tmp_path / "run").test.loss_per_task
    assert losses(together / strategy) == pytest.approx(alone, rel=1e-4)
    for file in ("metrics.jsonl", "config.yaml"):
        lines = [
            (f / file).read_text().splitlines() for f in (together / strategy, tmp_path / "run")
        ]
        assert len(lines[0]) == len(lines[1])


@pytest.mark.long
def test_two_processes_search_by_the_gradients_of_one(together: Path, tmp_path: Path) -> None:
    alone = small_run("lws", tmp_path / "run", **BY_GRADIENTS).test.loss_per_task
    assert losses(together / "by gradients") == pytest.approx(alone, rel=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("strategy", SAME)
def test_another_number_goes_on_with_the_same_run(
    together: Path, tmp_path: Path, strategy: str
) -> None:
    own = UNSETTLED.get(strategy, {})
    alone = small_run(strategy, tmp_path / "run", **own).test.loss_per_task
    assert losses(together / f"{strategy} from one") == pytest.approx(alone, rel=1e-4)
    two = small_run(strategy, together / f"{strategy} from two", resume=True, **own)
    assert two.test.loss_per_task == pytest.approx(alone, rel=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("strategy", [*ANOTHER_RUN, "prior"])
def test_all_others_end(together: Path, strategy: str) -> None:
    assert all(loss < 4 for loss in losses(together / strategy).values())
