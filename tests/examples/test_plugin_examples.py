"""The examples of docs/plugins.md: shown as they are, run, resumed, taken apart."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.tiny import TinyPlugins, content, start
from support.typed import stored

from mtl_framework import TaskNetworks
from mtl_framework.data.batches import Batch
from mtl_framework.export import export_program
from mtl_framework.runs.load import load_run

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "plugins"
NAMES = ("even_odd", "without_conflict", "hardest_first", "no_conflict", "experts")


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mtl_{name}", FOLDER / f"mtl_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def plugins(name: str) -> TinyPlugins:
    found = TinyPlugins()
    found.register(module(name), name)
    return found


def test_the_page_shows_the_files_as_they_are() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    shown = re.findall(r"<!-- (\S+) -->\n```python\n(.*?)```\n", page, flags=re.S)
    assert [name for name, _ in shown] == [f"examples/plugins/mtl_{name}.py" for name in NAMES]
    for name, text in shown:
        assert text == (ROOT / name).read_text(), name
    for link in re.findall(r"\]\(\.\./([^)#]+)\)", page):
        assert (ROOT / link).exists(), link


def test_the_page_names_every_hook() -> None:
    from mtl_framework.plugins import hookspecs

    page = (ROOT / "docs" / "plugins.md").read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("mtl_")]
    assert hooks == re.findall(r"^\| `(mtl_\w+)\(", page, flags=re.M)


def test_the_distribution_has_an_entry_point_for_each() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["mtl_framework"]
    assert points == {name: f"mtl_{name}" for name in NAMES}
    files = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert sorted(files) == sorted(path.name for path in FOLDER.glob("*.py"))


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_run_learns_resumes_and_comes_apart(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"strategy": name, "eval_every": 6}
    start(tmp_path / "straight", plugins(name), iterations=24, **options).execute()
    lines = (tmp_path / "straight" / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    assert sum(losses[-6:]) < sum(losses[:6])
    start(tmp_path / "parts", plugins(name), iterations=12, **options).execute()
    start(tmp_path / "parts", plugins(name), iterations=24, resume=True, **options).execute()
    found, wanted = (
        {n: v for n, v in content(tmp_path / folder).items() if "best" not in n}
        for folder in ("parts", "straight")
    )
    assert found == wanted  # the best checkpoint may be from before, with the config of then

    loaded = load_run(tmp_path / "straight", plugins=plugins(name))
    for task, parts in enumerate(loaded.suite.tasks):
        inputs = loaded.preprocessings[task](stored(parts.test))
        with torch.no_grad():
            alone = loaded.extract(task)(inputs)
        torch.testing.assert_close(alone, loaded.predict(task, stored(parts.test)))
    assert export_program(loaded, "rows", tmp_path / "program").batch == "any"


def test_even_and_odd_tasks_share() -> None:
    from support.makers import make_backbone, make_tasks

    from mtl_framework.data.tasks import Suite

    backbone = make_backbone("resnet18", args={"channels": (4, 4, 4, 4)})
    strategy = module("even_odd").EvenOdd()
    network = strategy.build(backbone, Suite("drawn", make_tasks((2, 3, 5))))
    assert network.assignment.tolist() == [[0, 1, 0]] * len(backbone.units)


def test_a_recipe_and_an_aggregator_take_fewer_than_30_lines(tmp_path: Path) -> None:
    pytest.importorskip("torchjd", reason="TorchJD is an extra")
    text = (FOLDER / "mtl_without_conflict.py").read_text()
    assert len([line for line in text.split("\n") if line.strip()]) < 30  # imports and all
    recipe = {"optimizer": "sgd", "schedule": "cosine", "clip": 1.0, "average": "ema"}
    for name, training in (("own", {}), ("recipe", recipe), ("sum", {"weighting": "sum"})):
        run = start(tmp_path / name, plugins("without_conflict"), strategy="without_conflict",
                    training=training)  # fmt: skip
        run.execute()
        network = run.network
        assert isinstance(network, TaskNetworks)
        assert network.weighting is not None
        assert network.weighting.uses == 6
        assert network.weighting.name == training.get("weighting", "upgrad")
    metrics = [(tmp_path / n / "metrics.jsonl").read_text() for n in ("own", "recipe", "sum")]
    losses = [text.split('"seconds"')[1] for text in metrics]
    assert len(set(losses)) == 3


def test_what_is_behind_counts_more() -> None:
    smoothed = module("hardest_first").Smoothed(2, 0.5)
    assert smoothed.weights().tolist() == [1, 1]
    smoothed.update(torch.tensor([2.0, 4.0]))
    assert smoothed.weights().tolist() == [1, 1]
    smoothed.update(torch.tensor([0.0, 4.0]))  # 1 of 2 is left, 4 of 4
    torch.testing.assert_close(smoothed.weights(), torch.tensor([2 / 3, 4 / 3]))


def test_experts_leave_out_what_has_no_label(tmp_path: Path) -> None:
    run = start(tmp_path / "run", plugins("experts"), strategy="experts")
    before = run.next_batch()
    none = torch.zeros(len(before.inputs[1]), dtype=torch.bool)
    some = torch.arange(len(before.inputs[0])) < 3
    batch = Batch(before.inputs, before.targets, labelled=(some, none))
    run.next_batch = lambda source=None: batch  # type: ignore[method-assign]
    step = next(run.strategy.optimize(run))
    assert step.loss[1] == 0
    head = run.network.get_submodule("networks.1.head")
    assert all(p.grad is None or not p.grad.any() for p in head.parameters())
