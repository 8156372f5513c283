"""Runs from Python: the same as the command's, and what only Python can hand over."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from support.tiny import Soft, TinyPlugins, content, tiny_suite
from support.typed import stored
from torch import nn

import mtl_framework
from mtl_framework import ModuleBackbone, MtlError, Step, TrainingRun, load_run, run
from mtl_framework.data import Classification, Examples, Suite, Task
from mtl_framework.export import export_all, export_network, load_bundle, load_network
from mtl_framework.networks.result import Result
from mtl_framework.runs.from_python import named
from mtl_framework.support.seeding import seed_everything

COMMON: dict[str, Any] = {"iterations": 4, "eval_every": 2, "batch_size": 8, "device": "cpu"}


def tiny_run(folder: Path, strategy: Any = "soft", **options: Any) -> Result:
    settings = {**COMMON, "suite": "tiny", "backbone": "tiny", "progress": False, **options}
    return run(strategy, output=folder, plugins=TinyPlugins(), **settings)


@pytest.mark.long
def test_it_does_what_the_command_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--strategy", "lws", "--backbone", "dkl_convnet", "--suite", "digits"]
    options += ["--set", "suite.size=12", "--iterations", "2", "--device", "cpu", "--seed", "3"]
    options += ["--set", "nes_learning_rate=0.3", "--set", "training.weight_decay=0.1"]
    command = [sys.executable, "-m", "mtl_framework", "run", *options, "--output", "command"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=120)
    keys: dict[str, Any] = {"training.weight_decay": 0.1}
    result = run(
        "lws", "dkl_convnet", {"name": "digits", "size": 12}, output="python", iterations=2,
        device="cpu", seed=3, nes_learning_rate=0.3, progress=False, **keys,
    )  # fmt: skip
    found = content(Path("command"))
    assert found == content(Path("python"))
    assert {"config.yaml", "metrics.jsonl", "result.json", "tasks.json"} <= set(found)
    assert Path("command/config.yaml").read_text() == Path("python/config.yaml").read_text()
    assert result.directory == Path("python")


def test_errors_are_the_commands_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"strategy": "lwss"}, "unknown strategy 'lwss'; did you mean 'lws'?"),
        ({"iterations": 0}, "iterations should be greater than or equal to 1, found 0"),
        ({"nonsense": 1}, "nonsense"),
        ({"resume": True, "config": {}}, "--resume reads the run's own config"),
    )
    for options, message in cases:
        with pytest.raises(MtlError, match=re.escape(message)):
            run(progress=False, **options)
    message = "suite should be a name, a mapping with a name, or a Suite, found int"
    with pytest.raises(MtlError, match=message):
        named("suite", 3, TinyPlugins())
    assert not list(tmp_path.iterdir())


def test_a_default_folder_is_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in ("", "-2"):
        result = run("soft", "tiny", "tiny", plugins=TinyPlugins(), progress=False, **COMMON)
        assert str(result.directory).startswith("runs/tiny-soft-tiny-s0")
        assert str(result.directory).endswith(number)


def test_an_interruption_keeps_the_run(tmp_path: Path) -> None:
    tiny_run(tmp_path / "whole")

    class Stopping(TinyPlugins):
        def notify(self, hook: str, **values: Any) -> None:
            if hook == "mtl_step" and values["run"].iteration == 3:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"iteration 3 of 4, all saved; .*resume=True"):
        run("soft", "tiny", "tiny", output=tmp_path / "cut", plugins=Stopping(), progress=False,
            **COMMON)  # fmt: skip
    assert not (tmp_path / "cut" / "result.json").exists()
    run(output=tmp_path / "cut", resume=True, plugins=TinyPlugins(), progress=False)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def network() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 9)
    )


def test_python_objects_take_the_place_of_names(tmp_path: Path) -> None:
    """A strategy's class, a module and a suite; the run resumes, loads and predicts with them."""
    suite = tiny_suite()
    backbone = ModuleBackbone(network, ["1", "3"], name="mine")

    class Mine(Soft):
        pass

    assert backbone(3).get_parameter("4.bias").shape == (3,)
    objects = {"strategy": "routed", "backbone": backbone, "suite": suite}
    result = tiny_run(tmp_path / "r", **objects)
    assert result.suite == "python:tiny"
    assert result.assignment is not None
    assert result.assignment.units == ("1", "3")
    loaded = load_run(tmp_path / "r", backbone=backbone, suite=suite, plugins=TinyPlugins())
    assert loaded.evaluate().splits["test"] == result.test
    examples = stored(suite.tasks[1].test)[:3]
    extracted = loaded.extract(1)
    assert torch.equal(extracted(loaded.preprocessings[1](examples)), loaded.predict(1, examples))
    export_network(loaded, 1, tmp_path / "network")
    export_all(loaded, tmp_path / "all")
    wanted = extracted(loaded.preprocessings[1](examples))
    for own in (backbone, network()):  # a function's fresh module, or any of its kind
        for exported in (
            load_network(tmp_path / "network", TinyPlugins(), backbone=own),
            load_bundle(tmp_path / "all", TinyPlugins(), backbone=own).network("sides"),
        ):
            assert torch.equal(exported(loaded.preprocessings[1](examples)), wanted)
    with pytest.raises(MtlError, match=r"is a Python object, 'mine', .* backbone=... of load_net"):
        load_network(tmp_path / "network")
    other = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(MtlError, match=r"the module given is not the one of .*network: Error"):
        load_network(tmp_path / "network", backbone=other)
    # the data is not needed to predict; the module is, and both are to go on
    load_run(tmp_path / "r", backbone=backbone, plugins=TinyPlugins()).predict(1, examples)
    for given, message in (
        ({}, "backbone 'mine' of this config is a Python object, which has to be given again"),
        ({"backbone": backbone, "strategy": Mine}, "strategy of this run is 'routed', no Python"),
    ):
        with pytest.raises(MtlError, match=message):
            load_run(tmp_path / "r", plugins=TinyPlugins(), **given)  # type: ignore[arg-type]
    with pytest.raises(MtlError, match=r"suite 'tiny' of this config is a Python object"):
        load_run(tmp_path / "r", backbone=backbone, plugins=TinyPlugins()).evaluate()
    more = tiny_run(tmp_path / "r", **objects, iterations=6, resume=True)
    whole = tiny_run(tmp_path / "whole", **objects, iterations=6)
    assert more.test == whole.test
    changed = Suite(
        "tiny", [*suite.tasks[:1], task_with(suite.tasks[1], 1 - suite.tasks[1].train.targets)]
    )
    with pytest.raises(MtlError, match="the data has changed since the run began: train split"):
        tiny_run(tmp_path / "r", **{**objects, "suite": changed}, iterations=8, resume=True)
    assert tiny_run(tmp_path / "class", Mine).strategy == "python:Mine"
    with pytest.raises(MtlError, match="strategy 'Mine' of this config is a Python object"):
        load_run(tmp_path / "class", plugins=TinyPlugins())
    load_run(tmp_path / "class", strategy=Mine, plugins=TinyPlugins())


def task_with(task: Task, targets: torch.Tensor) -> Task:
    return Task(
        task.name, task.objective, Examples(task.train.inputs, targets), task.test, task.validation
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModuleBackbone(nn.ReLU()), "'ReLU' has no linear layer or 1x1 convolution"),
        (lambda: ModuleBackbone(network, ["11"]), r"unknown unit of .* submodule '11'"),
        (lambda: ModuleBackbone(network, ["2"]), "'2' has no parameters to share"),
        (lambda: ModuleBackbone(network, ["4"]), "holds '4', which gives the class scores"),
        (lambda: ModuleBackbone(network, []), "should name at least one submodule"),
        (lambda: ModuleBackbone(network, head="2"), "head '2' .* should be a linear layer"),
        (lambda: ModuleBackbone(network, head="9"), "unknown head of backbone 'Sequential': layer"),
        (lambda: ModuleBackbone(network, {"a": "1", "b": ["3", "1"]}), "'a' and 'b' .* overlap"),
        (lambda: ModuleBackbone(cast(Any, lambda: 3)), "it gave int"),
    ],
)
def test_a_module_that_is_no_backbone_is_refused(make: Any, message: str) -> None:
    with pytest.raises(MtlError, match=message):
        make()


class Mixing(nn.Module):
    def __init__(self, mixes: bool) -> None:
        super().__init__()
        self.mixes = mixes
        self.first, self.unused, self.last = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.first(x.flatten(1)) - self.mixes * x.flatten(1).mean(0))
        return y


def test_running_it_finds_what_its_names_do_not_show(tmp_path: Path) -> None:
    for module, units, message in (
        (Mixing(True), ["first"], "'python:Mixing' mixes the inputs of a batch"),
        (Mixing(False), ["first", "unused"], "never calls unit 'unused'"),
        (network(), ["0"], "'0' has no parameters"),
        (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)), ["0"], "cannot run on inputs of shape"),
    ):
        with pytest.raises(MtlError, match=message):
            tiny_run(tmp_path / "r", "routed", backbone=ModuleBackbone(module, units))
    assert not (tmp_path / "r").exists()


def test_copies_of_a_module_begin_with_its_weights_those_of_a_function_with_their_own() -> None:
    given = network()
    alike, apart = ModuleBackbone(given, ["1"]), ModuleBackbone(network, ["1"])
    first = given.get_parameter("1.weight")
    for outputs in (2, 5):
        assert torch.equal(alike(outputs).get_parameter("1.weight"), first)
    one, other = (apart(2).get_parameter("1.weight") for _ in range(2))
    assert not torch.equal(one, other)
    assert given.get_parameter("4.bias").shape == (9,)
    assert repr(alike) == "ModuleBackbone(Sequential, 1 units, head '4')"


def test_a_result_shows_itself(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs the extra [pandas]")
    result = tiny_run(tmp_path / "r", "routed")
    assert len(repr(result)) < 120
    assert re.fullmatch(r"<Result: routed on tiny, .* test mean [\d.]+>", repr(result))
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    row = frame[(frame.task == "sides") & (frame.split == "test")].iloc[0]
    assert row.value == result.test.per_task["sides"]
    assert row.loss == result.test.loss_per_task["sides"]
    page = result._repr_html_()
    assert f"{result.test.per_task['sides']:.2f}" in page
    assert str(tmp_path / "r") in page
    assert page.count(">B</td>") == 1  # both tasks share the lower unit, not the upper one
    assert Result.load(tmp_path / "r").directory == tmp_path / "r"
    assert "_directory" not in json.loads((tmp_path / "r" / "result.json").read_text())


def test_names_of_tasks_are_no_markup(tmp_path: Path) -> None:
    tasks = [
        Task(f"<b>{task.name}", task.objective, task.train, task.test, task.validation)
        for task in tiny_suite().tasks
    ]
    result = tiny_run(tmp_path / "r", suite=Suite("<i>", tasks))
    assert "<b>rows" not in result._repr_html_()
    assert "&lt;b&gt;rows" in result._repr_html_()
    assert isinstance(tasks[0].objective, Classification)


def test_run_is_not_the_room_of_runs() -> None:
    assert callable(mtl_framework.run)


class Failing(Soft):
    """It fails in its first step, after it has drawn."""

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        draws()
        raise RuntimeError("no more")
        yield


def draws() -> list[float]:
    return [float(torch.rand(1)), random.random(), float(np.random.rand())]


@pytest.mark.parametrize("fails", [False, True])
def test_the_callers_generators_go_on_as_if_no_run_had_been(tmp_path: Path, fails: bool) -> None:
    seed_everything(7)
    expected = draws() + draws()
    seed_everything(7)
    found = draws()
    if fails:
        with pytest.raises(MtlError, match="eval_batch_size"):
            tiny_run(tmp_path / "r", eval_batch_size=0)
        with pytest.raises(RuntimeError, match="no more"):
            tiny_run(tmp_path / "s", Failing)
    else:
        tiny_run(tmp_path / "r")
    assert found + draws() == expected


def test_runs_do_not_depend_on_the_callers_generators(tmp_path: Path) -> None:
    for name in "ab":
        seed_everything(ord(name))
        tiny_run(tmp_path / name)
    assert content(tmp_path / "a") == content(tmp_path / "b")
