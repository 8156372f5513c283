"""Maps are learned: far better than by the mean of the training maps, in rooms not seen before."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mtl_framework
from mtl_framework.data import MapObjective, Task
from mtl_framework.networks.measuring import TaskMeasure
from mtl_framework.plugins.manager import Plugins

SUITE: dict[str, Any] = {
    "tasks": ("segmentation", "depth", "normals"), "train": 320, "validation": 8, "test": 80,
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    "strategy": {"name": "full_sharing", "learning_rate": 0.004},
    "suite": {"name": "scenes", **SUITE},
    "backbone": {
        "name": "resnet18",
        "args": {"layers": [1, 1, 1, 1], "channels": [12, 24, 48, 64]},
    },
    "heads": {"all": {"name": "fpn", "width": 32}},
    "batch_size": 8,
    "eval_every": 1000,
    "device": "cpu",
}


def of_the_mean(task: Task) -> float:
    """The main metric where the same is said of every pixel: the mean of the training maps."""
    objective, targets = task.objective, task.train.targets
    assert isinstance(objective, MapObjective)
    known = objective.known(targets)
    outputs: Tensor
    if objective.kind == "segmentation":
        outputs = torch.bincount(targets[known].long(), minlength=objective.num_outputs).float()
    else:
        each = targets if targets.ndim == 4 else targets[:, None]
        outputs = each.movedim(1, -1)[known].mean(0)
    shape = len(task.test), -1, *task.test.targets.shape[-2:]
    measure = TaskMeasure(task, "test")
    measure.update(outputs.view(1, -1, 1, 1).expand(shape), task.test.targets)
    return measure.result().main


def learned(folder: Path, iterations: int, **suite: int) -> dict[str, float]:
    config = {**SETTINGS, "suite": {**SETTINGS["suite"], **suite}, "iterations": iterations}
    result = mtl_framework.run(config=config, output=folder, progress=False)
    return result.test.per_task


@pytest.mark.long
def test_a_few_steps_are_better_than_the_mean(tmp_path: Path) -> None:
    few = {"train": 64, "test": 16}
    suite = Plugins.load().suite("scenes")(**{**SUITE, **few})
    mean = {task.name: of_the_mean(task) for task in suite.tasks}
    found = learned(tmp_path / "run", 30, **few)
    assert found["segmentation"] > 2 * mean["segmentation"]
    assert found["normals"] < 0.75 * mean["normals"]


@pytest.mark.slow
def test_scenes_are_learned_within_a_minute(tmp_path: Path) -> None:
    """The figures of docs/maps.md, with some room."""
    suite = Plugins.load().suite("scenes")(**SUITE)
    mean = {task.name: of_the_mean(task) for task in suite.tasks}
    assert mean == pytest.approx({"segmentation": 7.9, "depth": 2.26, "normals": 45.7}, rel=0.01)
    found = learned(tmp_path / "run", 300)
    assert found["segmentation"] > 42
    assert found["depth"] < 1.4
    assert found["normals"] < 21
