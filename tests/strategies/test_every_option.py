"""No option of ``training`` is without an effect: each changes weights, or what a run reports."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from support.recipes import recipe_options, recipe_plugins
from support.tiny import start
from torch import Tensor

from mtl_framework.networks.evaluation import Evaluation, SplitMetrics
from mtl_framework.networks.result import Result
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.runs.run import Run
from mtl_framework.strategies.recipe import Recipe
from mtl_framework.strategies.training import AverageConfig, ScheduleConfig, TrainingConfig

DECAY = {"weight_decay": 0.5}
COSINE: dict[str, Any] = {"name": "cosine"}
PLATEAU: dict[str, Any] = {"name": "plateau", "patience": 0}
WARM: dict[str, Any] = {"name": "constant", "warmup": 2}

#: Every option: the other ones that it needs, and the option with a value that is not its default.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "optimizer": ({}, {"optimizer": "adamw"}),
    "optimizer.OPTION": ({"optimizer": "adamw"}, {"optimizer": {"name": "adamw", "eps": 0.1}}),
    "learning_rate": ({}, {"learning_rate": 0.2}),
    "weight_decay": ({}, DECAY),
    "decay_norms_and_biases": (DECAY, {"decay_norms_and_biases": True}),
    "layer_decay": ({}, {"layer_decay": 0.5}),
    "head_factor": ({}, {"head_factor": 2.0}),
    "clip": ({}, {"clip": 0.1}),
    "clip_by": ({"clip": 0.1}, {"clip_by": "value"}),
    "accumulate": ({}, {"accumulate": 2}),
    "unused_weights": (DECAY, {"unused_weights": "move"}),
    "schedule.name": ({}, {"schedule": COSINE}),
    "schedule.warmup": ({}, {"schedule": WARM}),
    "schedule.warmup_learning_rate": (
        {"schedule": WARM}, {"schedule": {**WARM, "warmup_learning_rate": 0.05}},
    ),
    "schedule.min_learning_rate": (
        {"schedule": COSINE}, {"schedule": {**COSINE, "min_learning_rate": 0.05}},
    ),
    "schedule.decay_every": (
        {"schedule": {"name": "step", "decay_every": 2}},
        {"schedule": {"name": "step", "decay_every": 3}},
    ),
    "schedule.decay_at": (
        {"schedule": {"name": "multistep", "decay_at": [2]}},
        {"schedule": {"name": "multistep", "decay_at": [3]}},
    ),
    "schedule.decay_rate": ({"schedule": PLATEAU}, {"schedule": {**PLATEAU, "decay_rate": 0.5}}),
    "schedule.decay_share": (
        {"schedule": {"name": "wsd"}}, {"schedule": {"name": "wsd", "decay_share": 0.7}},
    ),
    "schedule.patience": ({"schedule": PLATEAU}, {"schedule": {**PLATEAU, "patience": 1}}),
    "schedule.length": ({"schedule": COSINE}, {"schedule": {**COSINE, "length": 20}}),
    "average.name": ({}, {"average": "ema"}),
    "average.decay": ({"average": "ema"}, {"average": {"name": "ema", "decay": 0.1}}),
    "average.warmup": ({"average": "ema"}, {"average": {"name": "ema", "warmup": False}}),
    "average.start": ({"average": "swa"}, {"average": {"name": "swa", "start": 3}}),
    "average.evaluate": ({"average": "swa"}, {"average": {"name": "swa", "evaluate": "raw"}}),
}  # fmt: skip
#: Options that change what the host does with evaluations, in tests/runs/test_training.py.
CHOICES = {"stop_after", "report"}
#: Options that change gradients, which only a run has.
WEIGHTING = {"weighting", "weighting.OPTION"}


def test_every_option_is_tried() -> None:
    sections: dict[str, type[BaseModel]] = {"schedule": ScheduleConfig, "average": AverageConfig}
    names = set()
    for key in TrainingConfig.model_fields:
        if key in sections:
            names |= {f"{key}.{field}" for field in sections[key].model_fields}
        else:
            names |= {key, *([f"{key}.OPTION"] if key in ("optimizer", "weighting") else [])}
    assert set(CHANGES) | CHOICES | WEIGHTING == names


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose backbone and suite are used."""
    return start(tmp_path_factory.mktemp("tiny") / "r", strategy="routed")


def trained(run: Run, training: dict[str, Any]) -> list[Tensor]:
    """All weights after six steps along given gradients, raw and as they would be evaluated.

    Validation becomes worse with every step; no gradient reaches the second weight of a unit.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = TaskNetworks(run.backbone, run.suite.tasks, [1, 2])
    recipe = Recipe(TrainingConfig.model_validate(training), 6)
    optimizer = recipe.make_optimizer(network, "momentum", 0.1)
    for step in range(6):
        optimizer.zero_grad()
        for name, parameter in network.named_parameters():
            gradient = torch.randn(parameter.shape, generator=generator)
            if ".copies.1." not in name:
                old = parameter.grad
                parameter.grad = gradient if old is None else old + gradient
        optimizer.step()
        split = SplitMetrics(1.0, 1.0, {"t": 1.0}, {"t": 1.0 + step})
        recipe.evaluated(Evaluation(step + 1, {"validation": split, "test": split}))
    raw = [parameter.detach().clone() for parameter in network.parameters()]
    with recipe.averaged():
        return [*raw, *(parameter.detach().clone() for parameter in network.parameters())]


@pytest.mark.parametrize("option", CHANGES)
def test_weights_differ(run: Run, option: str) -> None:
    others, changed = CHANGES[option]
    before, again, after = (
        torch.cat([tensor.flatten() for tensor in trained(run, training)])
        for training in (others, others, {**others, **changed})
    )
    assert torch.equal(before, again)
    assert not torch.allclose(before, after)


def test_a_weighting_and_its_options_change_a_run(tmp_path: Path) -> None:
    uncertainty = {"name": "uncertainty", "learning_rate": 0.5}
    losses = []
    for number, weighting in enumerate((None, "uncertainty", uncertainty)):
        chosen = recipe_options("full_sharing", weighting=weighting)
        start(tmp_path / str(number), recipe_plugins(), **chosen).execute()
        losses.append(Result.load(tmp_path / str(number)).test.loss_per_task["rows"])
    assert len(set(losses)) == 3
