"""Small runs of muir."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mtl_muir.strategy import Muir
from torch import nn

from mtl_framework.data.tasks import Examples, Regression, Suite, Task
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.runs.run import Run
from support.muir_networks import three_kinds
from support.tiny import TinyPlugins, tiny_config

OPTIONS: dict[str, Any] = {
    "context_size": 2,
    "block_out": 8,
    "block_in": 8,
    "steps_per_generation": 2,
    "alternatives": 2,
    "challenged": 0.5,
    "reactivation": 0.2,
    "alpha": 0.5,
    "soft_learning_rate": 1.0,
}


def kinds_suite() -> Suite:
    """The three kinds of tasks, each with the backbone that its entry names."""
    backbones, suite = three_kinds()
    tasks = [
        dataclasses.replace(
            task, backbone={"name": b.name, "args": dict(b.recipe.args)}, batch_size=4
        )
        for task, b in zip(suite.tasks, backbones, strict=True)
    ]
    for task in tasks:
        assert task.backbone is not None
        for key in ("in_chans", "img_size"):
            task.backbone["args"].pop(key, None)
    return Suite("kinds", tasks)


def groups_suite(tasks: int = 6, groups: int = 2, noise: float = 0.0) -> Suite:
    """Linear tasks whose true vectors are multiples of one another within a group."""
    generator = torch.Generator().manual_seed(4)
    directions = torch.linalg.qr(torch.randn(8, groups, generator=generator)).Q.T * 2
    found = []
    for number in range(tasks):
        vector = directions[number * groups // tasks] * (0.5 + torch.rand(1, generator=generator))

        def draw(count: int, vector: torch.Tensor = vector) -> Examples:
            inputs = torch.rand(count, 8, generator=generator) * 2 - 1
            noisy = noise * torch.randn(count, generator=generator)
            return Examples(inputs, inputs @ vector + noisy)

        own = {"name": "linear", "args": {"bias": False}}
        found.append(
            Task(f"line{number}", Regression(), draw(6), draw(40), draw(5), 6, backbone=own)
        )
    return Suite("groups", found)


class MuirPlugins(TinyPlugins):
    """The small suites and networks of these tests."""

    def __init__(self) -> None:
        super().__init__(muir=Muir)
        self.register(MuirPlugin(), "muir tests")


class MuirPlugin:
    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        return {"kinds": kinds_suite, "groups": groups_suite}

    @hookimpl
    def mtl_backbones(self) -> dict[str, str | Callable[..., nn.Module]]:
        return {
            "lenet": "mtl_backbones.lenet:LeNet",
            "lstm_language_model": "mtl_backbones.language_model:LstmLanguageModel",
            "deepbind": "mtl_backbones.deepbind:DeepBind",
            "linear": "mtl_backbones.linear:Linear",
        }


LINEAR: dict[str, Any] = {
    "context_size": 1,
    "block_out": 1,
    "block_in": 8,
    "learning_rate": 0.02,
    "soft_learning_rate": 0.05,
    "steps_per_generation": 20,
    "alternatives": 2,
    "challenged": 0.5,
}


def run_of(
    directory: Path, suite: str = "kinds", resume: bool = False, keys: Any = None, **options: Any
) -> Run:
    base = LINEAR if suite == "groups" else OPTIONS
    config = {"suite": {"name": suite}, "backbone": {"name": "linear"}, **(keys or {})}
    strategy = {"name": "muir", **base, **options}
    return Run.start(tiny_config(strategy, **config), MuirPlugins(), directory, resume)


def strategy_of(run: Run) -> Muir:
    assert isinstance(run.strategy, Muir)
    return run.strategy
