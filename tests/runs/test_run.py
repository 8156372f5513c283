"""One run from start to result: what it writes, refuses and stops at."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from support.losses_of_runs import losses_of
from support.tiny import TinyPlugins, content, start, tiny_config, tiny_suite

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.data.tasks import Suite, Task
from mtl_framework.networks.result import Result
from mtl_framework.runs.assembly import assemble
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError


@pytest.mark.parametrize("strategy", ["soft", "routed"])
def test_the_same_seed_gives_the_same_files(tmp_path: Path, strategy: str) -> None:
    for name in ("a", "b"):
        torch.rand(3)  # whatever was drawn before does not matter
        start(tmp_path / name, strategy=strategy).execute()
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    for seed in (0, 1):
        start(tmp_path / str(seed), seed=seed).execute()
    assert losses_of(tmp_path / "0") != losses_of(tmp_path / "1")


def test_a_finished_run_holds_these_files(tmp_path: Path) -> None:
    result = start(tmp_path / "r", strategy="routed").execute()
    best = result.best
    assert best is not None
    assert set(content(tmp_path / "r")) == {
        "config.yaml", "metrics.jsonl", "result.json", "tasks.json",
        "details-best.json", "details-last.json",
        "checkpoint/last-00000006.json", "checkpoint/last-00000006.safetensors",
        f"checkpoint/best-{best.iteration:08d}.json",
        f"checkpoint/best-{best.iteration:08d}.safetensors",
    }  # fmt: skip


@pytest.mark.parametrize("common_input", [False, True])
def test_running_averages_are_each_tasks_own_where_inputs_are(common_input: bool) -> None:
    suite = tiny_suite()
    if common_input:
        first = suite.tasks[0]
        tasks = [Task(name, first.objective, first.train, first.test) for name in ("a", "b")]
        suite = Suite("tiny", tasks, common_input=True)
    plugins = TinyPlugins()
    for given, found in (("auto", "shared" if common_input else "task"), ("pooled", "pooled")):
        config = tiny_config(strategy="routed", backbone={"name": "tiny", "normalization": given})
        strategy = plugins.strategy("routed")(plugins.strategy("routed").Config(), seed=0)
        assembly = assemble(config, plugins, suite, strategy)
        backbone = assembly.backbones[0]
        assert isinstance(backbone, Backbone)
        assert backbone.normalization == found


def test_the_written_config_runs_again(tmp_path: Path) -> None:
    start(tmp_path / "r").execute()
    written = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    defaults = {"learning_rate": 0.1, "python_noise": False}
    assert written["strategy"] == {"name": "soft", **defaults}
    assert written["suite"] == {"name": "tiny", "examples": 24, "validation": True}
    Run.start(tiny_config().model_validate(written), TinyPlugins(), tmp_path / "s").execute()
    assert content(tmp_path / "r") == content(tmp_path / "s")


def test_the_result_says_what_was_found(tmp_path: Path) -> None:
    result = start(tmp_path / "r", strategy="routed", seed=3).execute()
    assert Result.load(tmp_path / "r") == result
    plain = json.loads((tmp_path / "r" / "result.json").read_text())
    assert plain["seed"] == 3
    assert plain["iterations"] == 6
    assert plain["assignment"] == {
        "units": ["low", "high"], "tasks": ["rows", "sides"], "weights": [[0, 0], [0, 1]],
    }  # fmt: skip
    assert plain["metrics"] == {"rows": "error %", "sides": "error %"}
    assert plain["parameters"]["trained"] >= plain["parameters"]["deployed"] > 0
    assert set(plain["test"]["per_task"]) == {"rows", "sides"}
    assert plain["seconds"] > plain["seconds_per_iteration"] * 6
    assert start(tmp_path / "s").execute().assignment is None


def test_a_result_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"cannot read result .*result\.json"):
        Result.load(tmp_path)
    (tmp_path / "result.json").write_text('{"strategy": 3}')
    with pytest.raises(MtlError, match="is not a run's result: strategy"):
        Result.load(tmp_path)


def test_the_best_evaluation_is_chosen_by_validation_alone(tmp_path: Path) -> None:
    result = start(tmp_path / "r", iterations=12, eval_every=1, seed=4).execute()
    lines = map(json.loads, (tmp_path / "r" / "metrics.jsonl").read_text().splitlines())
    found = {line["iteration"]: line["evaluation"] for line in lines if "evaluation" in line}
    assert len(found) == 12
    errors = [found[n]["validation"]["error_mean"] for n in range(1, 13)]
    first = 1 + errors.index(min(errors))
    assert 1 < first < 12  # else this test would say little
    assert result.best is not None
    assert result.best.iteration == first
    assert result.best.test.error_mean == found[first]["test"]["error_mean"]
    assert result.test.error_mean == found[12]["test"]["error_mean"]
    assert (tmp_path / "r" / "checkpoint" / f"best-{first:08d}.json").exists()


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    options = {"name": "tiny", "validation": False}
    result = start(tmp_path / "r", suite=options).execute()
    assert result.best is None
    assert result.validation is None
    assert not list((tmp_path / "r" / "checkpoint").glob("best*"))


def test_hooks_are_told_in_order(tmp_path: Path) -> None:
    plugins = TinyPlugins()
    run = start(tmp_path / "r", plugins, iterations=3)
    result = run.execute()
    names = [name for name, _ in plugins.told]
    assert names == ["mtl_run_started", "mtl_step", "mtl_step", "mtl_evaluated", "mtl_step",
                     "mtl_evaluated", "mtl_run_finished"]  # fmt: skip
    assert all(found["run"] is run for _, found in plugins.told)
    assert plugins.told[-1][1]["result"] == result
    assert [e["evaluation"].iteration for n, e in plugins.told if n == "mtl_evaluated"] == [2, 3]


def test_precision_and_memory_budget_reach_the_network(tmp_path: Path) -> None:
    run = start(tmp_path / "r", precision="bf16", memory_budget=7)
    assert (run.network.precision, run.network.memory_budget) == ("bf16", 7)


# -- what is refused before anything is written ------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda:99"}, "device 'cuda:99' is not available here (available: "),
        (
            {"strategy": {"name": "soft", "learning_rat": 1}},
            "did you mean 'strategy.learning_rate'?",
        ),
        (
            {"strategy": {"name": "soft", "learning_rate": "x"}},
            "strategy.learning_rate should be a valid number, found 'x'",
        ),
        (
            {"strategy": {"name": "soft", "learning_rate": float("nan")}},
            "strategy.learning_rate should be a finite number, found nan",
        ),
        ({"suite": {"name": "tiny", "examples": 0}}, "task 'rows', train split: there is no"),
        ({"backbone": {"name": "tiny", "shared": ["stm"]}}, "did you mean 'stem'?"),
    ],
)
def test_bad_settings_are_named_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(MtlError) as error:
        start(tmp_path / "r", **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "r").exists()


def test_an_output_folder_with_a_run_is_refused(tmp_path: Path) -> None:
    start(tmp_path / "r").execute()
    before = content(tmp_path / "r")
    with pytest.raises(MtlError, match=r"already holds a run \(config.yaml\)"):
        start(tmp_path / "r")
    assert content(tmp_path / "r") == before
    (tmp_path / "file").write_text("")
    with pytest.raises(MtlError, match="is a file; give a folder"):
        start(tmp_path / "file")
    with pytest.raises(MtlError, match="cannot make folder"):
        start(tmp_path / "file" / "r")


# -- the console -------------------------------------------------------------------------------


def test_without_a_terminal_there_is_a_line_an_evaluation(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=40)
    start(tmp_path / "r", console=console).execute()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = text.splitlines()
    assert lines[0] == "building tiny for 2 tasks of tiny (1x4x4)"
    assert lines[1].startswith("data: ")
    assert [line.split(":")[0] for line in lines[2:-1]] == [f"iteration {n}/6" for n in (2, 4, 6)]
    size = sum(file.stat().st_size for file in (tmp_path / "r").rglob("*")) / 1e6
    assert lines[-1].startswith(f"{tmp_path / 'r'}: ")
    assert float(lines[-1].split(": ")[1].split(" MB")[0]) == pytest.approx(size, abs=0.06)
    assert lines[-1].endswith("with checkpoints last and best")
    assert "\x1b" not in text


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    start(tmp_path / "r", console=console).execute()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for shown in ("soft", "6/6", "loss ", "entropy ", "it/s"):
        assert shown in text
