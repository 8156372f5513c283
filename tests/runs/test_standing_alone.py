"""A run needs nothing but its folder, has it to itself, and forgets nothing of its strategy."""

import copy
import io
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from mtl_baselines.given import FixedSharing
from mtl_lws.roaming import Roaming
from rich.console import Console
from support.tiny import Soft, SoftModel, TinyPlugins, content, start, tiny_config
from support.typed import tensor
from torch import nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.comparisons.find import find
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.evaluation import SplitMetrics, can_be_averaged
from mtl_framework.networks.result import Best, Result
from mtl_framework.runs.checkpoint import Checkpoints
from mtl_framework.runs.load import load_run
from mtl_framework.strategies.context import TrainingRun
from mtl_framework.strategies.step import Step
from mtl_framework.support.errors import MtlError


def config(strategy: str, **changes: Any) -> dict[str, Any]:
    return tiny_config(strategy, **changes).model_dump()


def checkpoints(directory: Path) -> set[str]:
    return {path.stem for path in (directory / "checkpoint").glob("*.json")}


# -- one writer --------------------------------------------------------------------------------

HOLDS = """
import sys
from pathlib import Path
from mtl_framework.runs.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_names_the_process_that_is_at_work(tmp_path: Path) -> None:
    start(tmp_path / "r", iterations=2).execute()
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "r")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        for resume in (True, False):
            with pytest.raises(MtlError, match=f"is in use by process {other.pid} on"):
                start(tmp_path / "r", resume=resume, iterations=4)
        other.kill()
    start(tmp_path / "r", resume=True, iterations=4).execute()  # the system has released it


def test_two_runs_of_one_program_do_not_meet(tmp_path: Path) -> None:
    first = start(tmp_path / "r")
    for resume in (False, True):
        with pytest.raises(MtlError, match="in use by process"):
            start(tmp_path / "r", resume=resume)
    first.execute()
    with pytest.raises(MtlError, match="already holds a run"):
        start(tmp_path / "r")
    assert start(tmp_path / "r", resume=True).execute() == Result.load(tmp_path / "r")


# -- ending early ------------------------------------------------------------------------------


class Returns(Soft):
    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        loop = super().optimize(run)
        while run.iteration < 3:
            yield next(loop)


class Stops(Soft):
    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        for step in super().optimize(run):
            if run.iteration + 1 == 4:
                run.stop("the loss is small enough")
            yield step


@pytest.mark.parametrize(
    ("strategy", "steps", "reason"),
    [(Returns, 3, "strategy 'early' ended its training"), (Stops, 4, "the loss is small enough")],
)
def test_a_strategy_may_end_the_run(
    tmp_path: Path, strategy: type[Soft], steps: int, reason: str
) -> None:
    plugins = TinyPlugins(early=strategy)
    result = start(tmp_path / "r", plugins, strategy="early").execute()
    assert (result.iterations, result.ended) == (steps, reason)
    assert load_run(tmp_path / "r", plugins=plugins).evaluate().splits["test"].per_task == (
        result.test.per_task
    )
    again = start(tmp_path / "r", plugins, strategy="early", resume=True)
    plugins.told.clear()
    assert again.execute() == result
    assert plugins.told == []


# -- what stays --------------------------------------------------------------------------------


def test_keep_says_which_checkpoints_stay(tmp_path: Path) -> None:
    for keep, kinds in (("last", {"last"}), ("best", {"best", "end"}), ("none", {"end"})):
        folder = tmp_path / keep
        result = start(folder, strategy="learned", keep=keep).execute()
        assert {name.partition("-")[0] for name in checkpoints(folder)} == kinds
        assert result.best is not None
        if keep == "best":
            best = load_run(folder, which="best", plugins=TinyPlugins())
            assert best.evaluate().splits["test"].per_task == result.best.test.per_task
        else:
            with pytest.raises(MtlError, match=r"has no 'best' checkpoint.*`keep`"):
                load_run(folder, which="best", plugins=TinyPlugins())
        if keep != "last":
            with pytest.raises(MtlError, match="kept no checkpoint of its last step"):
                start(folder, strategy="learned", keep=keep, resume=True, iterations=8)
            state = Checkpoints(folder / "checkpoint").load("end", 6)["strategy"]
            assert "optimizer" not in state
            assert state["distribution"]["pi"].shape == (2, 2, 2)


def test_best_and_last_of_one_moment_hold_the_networks_once(tmp_path: Path) -> None:
    start(tmp_path / "r", strategy="routed", iterations=1).execute()
    tensors = {p.stem: p.stat().st_size for p in (tmp_path / "r").rglob("*.safetensors")}
    names = {path.stem: path.read_text() for path in (tmp_path / "r").rglob("last*.json")}
    assert '"base": {"stem": "best-00000001"' in names["last-00000001"]
    assert set(tensors) == {"best-00000001", "last-00000001"}
    start(tmp_path / "r", strategy="routed", iterations=6, resume=True).execute()
    start(tmp_path / "s", strategy="routed", iterations=6).execute()
    assert content(tmp_path / "r") == content(tmp_path / "s")


# -- evaluations are no part of training -------------------------------------------------------


@pytest.mark.parametrize("strategy", ["learned", "routed"])
def test_statistics_measured_anew_change_nothing_of_training(tmp_path: Path, strategy: str) -> None:
    last = []
    for every in (1, 4):
        folder = tmp_path / str(every)
        options: dict[str, Any] = {
            "strategy": strategy,
            "eval_every": every,
            "reestimate_statistics": 2,
        }
        result = start(folder, **options).execute()
        state = Checkpoints(folder / "checkpoint").load("last", 6)
        last.append(state["strategy"]["network"])
        assert result.best is not None
        for which, split in (("last", result.test), ("best", result.best.test)):
            loaded = load_run(folder, which=which, plugins=TinyPlugins())  # type: ignore[arg-type]
            loss = loaded.evaluate().splits["test"].loss_per_task
            assert loss == pytest.approx(split.loss_per_task, rel=1e-6)
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])


def test_an_extended_run_equals_one_that_was_not_cut(tmp_path: Path) -> None:
    start(tmp_path / "whole", iterations=8, eval_every=3).execute()
    start(tmp_path / "r", iterations=4, eval_every=3).execute()
    start(tmp_path / "r", iterations=8, eval_every=3, resume=True).execute()
    assert content(tmp_path / "r") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "roaming"}, "strategy.settle went by the 2 iterations"),
        ({"strategy": {"name": "roaming", "settle": 0}}, None),
        ({"strategy": {"name": "learned", "freeze_after": 0.5}}, "strategy.freeze_after and "),
    ],
)
def test_what_goes_by_a_runs_length_is_told_where_it_is_extended(
    tmp_path: Path, options: dict[str, Any], said: str | None
) -> None:
    def plugins() -> TinyPlugins:
        return TinyPlugins(roaming=Roaming)

    console = Console(file=io.StringIO(), width=300)
    start(tmp_path / "whole", plugins(), iterations=4, **options).execute()
    start(tmp_path / "r", plugins(), iterations=2, **options).execute()
    start(
        tmp_path / "r", plugins(), iterations=4, resume=True, console=console, **options
    ).execute()
    told = console.file.getvalue()  # type: ignore[attr-defined]
    whole, extended = (
        {name: value for name, value in content(tmp_path / folder).items() if "best-" not in name}
        for folder in ("whole", "r")
    )  # the best one's checkpoint holds the config of its time
    assert (extended == whole) == (said is None)
    assert ("another run than one of 4 iterations from the start" in told) == (said is not None)
    assert said is None or said in told


def test_the_run_that_an_assignment_came_from_may_be_gone(tmp_path: Path) -> None:
    def plugins() -> TinyPlugins:
        return TinyPlugins(fixed=FixedSharing)

    start(tmp_path / "first", strategy="routed", iterations=2).execute()
    strategy = {"name": "fixed", "from_run": str(tmp_path / "first")}
    for name, iterations in (("r", 2), ("whole", 4)):
        start(tmp_path / name, plugins(), strategy=strategy, iterations=iterations).execute()
    assert not (tmp_path / "first" / "earlier.json").exists()
    shutil.rmtree(tmp_path / "first")
    loaded = load_run(tmp_path / "r", plugins=plugins())
    assert tensor(loaded.network.assignment).tolist() == [[0, 0], [0, 1]]
    start(tmp_path / "r", plugins(), strategy=strategy, iterations=4, resume=True).execute()
    tests = [Result.load(tmp_path / name).test for name in ("r", "whole")]
    assert tests[0] == tests[1]
    (tmp_path / "r" / "earlier.json").write_text('{"a": [1]}')
    with pytest.raises(MtlError, match=r"earlier\.json is damaged"):
        load_run(tmp_path / "r", plugins=plugins())
    with pytest.raises(MtlError, match="cannot read result"):
        start(tmp_path / "new", plugins(), strategy=strategy)


# -- what a strategy holds ---------------------------------------------------------------------


class Hidden(Soft):
    """Hides something that trains from the host."""

    where = ""

    def build(self, backbone: Backbone, suite: Suite) -> SoftModel:
        network = super().build(backbone, suite)
        extra = nn.Linear(2, 2)
        if self.where == "list":
            self.critics = [extra]
        elif self.where == "inside":
            vars(network)["hidden"] = [extra]
        elif self.where == "optimiser":
            self.optimizers = {"critic": torch.optim.SGD(network.parameters(), 0.1)}
        elif self.where == "parameter":
            self.temperature = nn.Parameter(torch.ones(3))
            self.second = torch.optim.SGD([self.temperature], 0.1)
        elif self.where == "named":
            self.register_state("critics", [extra, {"o": torch.optim.SGD(extra.parameters(), 0.1)}])
        elif self.where == "function":
            self.judge = lambda inputs: extra(inputs)
        elif self.where == "attribute":
            self.critic = extra
        return network


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("list", r"self\.critics\[0\]\.weight would be left out of checkpoints"),
        ("inside", r"self\.network\.hidden\[0\]\.weight would be left out"),
        ("optimiser", r"the optimiser self\.optimizers\['critic'\] would be left out"),
        ("parameter", r"self\.second trains a tensor of shape \(3,\) that no checkpoint"),
        ("function", r"self\.judge: extra\.weight would be left out"),
        ("named", None),
        ("attribute", None),
    ],
)
def test_what_a_strategy_hides_is_refused_by_name(
    tmp_path: Path, where: str, message: str | None
) -> None:
    plugins = TinyPlugins(hidden=type("Chosen", (Hidden,), {"where": where}))
    if message is not None:
        with pytest.raises(MtlError, match=message):
            start(tmp_path / "r", plugins, strategy="hidden")
        assert not (tmp_path / "r").exists()
        return
    start(tmp_path / "r", plugins, strategy="hidden", iterations=2).execute()
    run = start(tmp_path / "r", plugins, strategy="hidden", iterations=3, resume=True)
    run.execute()


def test_networks_that_are_replaced_while_training_are_taken_over(tmp_path: Path) -> None:
    class Replaces(Soft):
        forgets = False

        def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
            for step in super().optimize(run):
                if run.iteration + 1 == 3:
                    self.network = copy.deepcopy(self.network)
                    if not self.forgets:
                        self.optimizer = torch.optim.Adam(self.network.parameters(), 0.1)
                    with torch.no_grad():
                        self.network.mixing.fill_(5.0)
                yield step

    forgets = type("Forgets", (Replaces,), {"forgets": True})
    plugins = TinyPlugins(replaces=Replaces, forgets=forgets)
    with pytest.raises(MtlError, match=r"self\.optimizer trains a tensor .* that no checkpoint"):
        start(tmp_path / "s", plugins, strategy="forgets").execute()
    run = start(tmp_path / "r", plugins, strategy="replaces", iterations=3)
    run.execute()
    assert run.network is run.strategy.network
    loaded = load_run(tmp_path / "r", plugins=plugins).network
    assert bool(tensor(loaded.mixing).eq(5).all())


def test_another_number_of_threads_is_noticed(tmp_path: Path) -> None:
    start(tmp_path / "r", iterations=2).execute()
    console = Console(file=io.StringIO(), width=300)
    torch.set_num_threads(2)
    try:
        start(tmp_path / "r", iterations=3, resume=True, console=console)
    finally:
        torch.set_num_threads(1)
    assert "had 1 threads until now and has 2" in console.file.getvalue()  # type: ignore[attr-defined]


def test_metrics_with_units_are_compared_by_their_ratios() -> None:
    def best(metres: float, euros: float) -> Best:
        split = SplitMetrics((metres + euros) / 2, None, {"m": metres, "e": euros}, {})
        return Best(1, split, split)

    assert can_be_averaged(["error %", "error %"])
    assert can_be_averaged(["RMSE"])
    assert not can_be_averaged(["RMSE", "RMSE"])
    assert best(0.05, 1000.5).is_better_than(best(0.5, 1000.0), averaged=False)
    assert not best(0.5, 1000.0).is_better_than(best(0.05, 1000.5), averaged=False)


def test_a_damaged_run_is_not_said_to_be_missing(tmp_path: Path) -> None:
    start(tmp_path / "r", iterations=2, strategy="soft").execute()
    (tmp_path / "r" / "result.json").write_text('{"strategy": 3}')
    with pytest.raises(MtlError, match=r"no run in .*r can be read: .*result\.json"):
        find([tmp_path / "r"])
