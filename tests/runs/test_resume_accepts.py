"""What a resumed run accepts, and what it refuses."""

import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.stopped import STRATEGIES, Signals
from support.tiny import Soft, SoftModel, TinyPlugins, content, start
from torch import Tensor

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.tasks import Suite
from mtl_framework.runs.folder import RunFolder, first_difference
from mtl_framework.runs.run import Interrupted
from mtl_framework.strategies.context import TrainingRun
from mtl_framework.strategies.step import Step
from mtl_framework.support.errors import MtlError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What uninterrupted runs write."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    for strategy in STRATEGIES:
        start(folder / strategy, strategy=strategy).execute()
    return {strategy: content(folder / strategy) for strategy in STRATEGIES}


def test_a_finished_run_only_gives_its_result(tmp_path: Path) -> None:
    result = start(tmp_path / "r").execute()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "r").rglob("*.json*")}
    plugins = TinyPlugins()
    assert start(tmp_path / "r", plugins, resume=True).execute() == result
    assert plugins.told == []
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_finished_run_can_be_given_more_iterations(tmp_path: Path, whole: dict[str, Any]) -> None:
    start(tmp_path / "r", iterations=4).execute()
    result = start(tmp_path / "r", resume=True, iterations=6).execute()
    assert result.iterations == 6
    assert content(tmp_path / "r") == whole["soft"]


def test_a_run_without_a_checkpoint_starts_again(tmp_path: Path, whole: dict[str, Any]) -> None:
    start(tmp_path / "r")  # claims its folder, and is killed
    (tmp_path / "r" / "metrics.jsonl").write_text('{"iteration": 1, "lo')
    run = start(tmp_path / "r", resume=True)
    assert run.iteration == 0
    run.execute()
    assert content(tmp_path / "r") == whole["soft"]


def test_lines_after_the_checkpoint_are_cut_off(tmp_path: Path, whole: dict[str, Any]) -> None:
    with pytest.raises(Interrupted):
        start(tmp_path / "r", Signals(3)).execute()
    with (tmp_path / "r" / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 4, "loss": 0.5}\n{"iteration": 5, "lo')
    start(tmp_path / "r", resume=True).execute()
    assert content(tmp_path / "r") == whole["soft"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "cannot resume: seed is 0 in "),
        ({"strategy": {"name": "soft", "learning_rate": 0.2}}, "strategy.learning_rate is 0.1 in"),
        ({"strategy": "routed"}, "strategy.name is 'soft' in"),
        ({"suite": {"name": "tiny", "examples": 30}}, "suite.examples is 24 in"),
        ({"memory_budget": 100}, "memory_budget is None in"),
        ({"backbone": {"name": "tiny", "args": {"x": 1}}}, "backbone.args.x is not set in"),
        ({"iterations": 5}, "iterations is 6 in"),
    ],
)
def test_another_config_is_refused_by_its_first_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Interrupted):
        start(tmp_path / "r", Signals(3)).execute()
    before = content(tmp_path / "r")
    with pytest.raises(MtlError) as error:
        start(tmp_path / "r", resume=True, **changes)
    assert message in str(error.value)
    assert str(tmp_path / "r" / "config.yaml") in str(error.value)
    assert content(tmp_path / "r") == before


def forget_option(folder: Path, section: str, key: str) -> None:
    """Leave a run as it would be from before an option existed."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config[section][key]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    checkpoints = RunFolder(folder).checkpoints
    state = checkpoints.load("last", 3)
    del state["config"][section][key]
    checkpoints.save("last", 3, state)


def test_an_option_that_came_later_had_its_default(tmp_path: Path, whole: dict[str, Any]) -> None:
    for key in ("strategy.learning_rate", "suite.examples"):
        folder = tmp_path / key
        with pytest.raises(Interrupted):
            start(folder, Signals(3)).execute()
        forget_option(folder, *key.split("."))
        start(folder, resume=True).execute()
        assert content(folder) == whole["soft"]


def test_an_option_that_came_later_cannot_have_been_something_else(tmp_path: Path) -> None:
    options: dict[str, Any] = {"strategy": {"name": "soft", "learning_rate": 0.2}}
    with pytest.raises(Interrupted):
        start(tmp_path / "r", Signals(3), **options).execute()
    forget_option(tmp_path / "r", "strategy", "learning_rate")
    with pytest.raises(MtlError, match=r"strategy\.learning_rate is 0\.1 in"):
        start(tmp_path / "r", resume=True, **options)


def test_a_checkpoint_of_another_config_is_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        with pytest.raises(Interrupted):
            start(tmp_path / str(seed), Signals(3), seed=seed).execute()
    shutil.rmtree(tmp_path / "0" / "checkpoint")
    shutil.copytree(tmp_path / "1" / "checkpoint", tmp_path / "0" / "checkpoint")
    with pytest.raises(MtlError, match=r"seed is 1 in .*checkpoint.*last-00000003, but 0 now"):
        start(tmp_path / "0", resume=True)


def test_what_no_step_depends_on_may_change(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        start(tmp_path / "r", Signals(3)).execute()
    start(tmp_path / "r", resume=True, log_every=5, device="auto").execute()
    assert "log_every: 5" in (tmp_path / "r" / "config.yaml").read_text()


def test_where_there_is_no_run_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match="there is no run to resume"):
        start(tmp_path / "r", resume=True)
    start(tmp_path / "r").execute()
    (tmp_path / "r" / "config.yaml").unlink()
    with pytest.raises(MtlError, match=r"its config\.yaml is missing"):
        start(tmp_path / "r", resume=True)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_truncated_checkpoint_is_refused_and_left_as_it_is(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(Interrupted):
        start(tmp_path / "r", Signals(3)).execute()
    file = tmp_path / "r" / "checkpoint" / f"last-00000003{suffix}"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(MtlError, match=re.escape(f"{file} is damaged")):
        start(tmp_path / "r", resume=True)
    assert file.exists()


def test_a_strategy_whose_networks_have_changed_is_refused(tmp_path: Path) -> None:
    class Wider(Soft):
        def build(self, backbone: Backbone, suite: Suite) -> SoftModel:
            network = super().build(backbone, suite)
            network.heads[0] = torch.nn.Linear(4, 7)
            self.optimizer = torch.optim.Adam(network.parameters())
            return network

    with pytest.raises(Interrupted):
        start(tmp_path / "r", Signals(3)).execute()
    plugins = TinyPlugins()
    plugins.strategy = lambda name: Wider  # type: ignore[method-assign]
    with pytest.raises(
        MtlError, match=r"last-00000003 does not fit this run: (network: heads|optimizer: )"
    ):
        start(tmp_path / "r", plugins, resume=True)


def test_the_best_so_far_is_remembered(tmp_path: Path) -> None:
    options: dict[str, Any] = {"iterations": 12, "eval_every": 1, "seed": 4}
    expected = start(tmp_path / "whole", **options).execute()
    with pytest.raises(Interrupted):
        start(tmp_path / "r", Signals(10), **options).execute()
    found = start(tmp_path / "r", resume=True, **options).execute()
    assert found.best == expected.best
    assert found.best is not None
    assert found.best.iteration < 10
    assert content(tmp_path / "r") == content(tmp_path / "whole")


def test_nothing_is_saved_from_a_diverged_run_that_is_stopped(tmp_path: Path) -> None:
    class Diverges(Soft):
        def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
            for step in super().optimize(run):
                if run.iteration + 1 == 3:
                    self.spoil()
                yield step

        def spoil(self) -> None:
            weight: Tensor = self.network.mixing.data
            weight[0, 0] = float("inf")

    plugins = Signals(3)
    plugins.strategy = lambda name: Diverges  # type: ignore[method-assign]
    with pytest.raises(MtlError, match="parameter mixing is not finite at iteration 3"):
        start(tmp_path / "r", plugins).execute()
    assert start(tmp_path / "r", resume=True).iteration == 2


def test_the_first_difference_is_found_by_its_dotted_key() -> None:
    old = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    assert first_difference(old, {"a": {"b": 1, "c": [1, 2]}, "d": None}) is None
    assert first_difference(old, {"a": {"b": 1, "c": [2]}, "d": 1}) == ("a.c", "[1, 2]", "[2]")
    assert first_difference(old, {"a": {"b": 1, "c": [1, 2]}}) == ("d", "None", "not set")
    assert first_difference(old, {**old, "e": 0}) == ("e", "not set", "0")
