"""Every option of every objective that a config can choose does something, from data to loss."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_framework.data.objectives import (
    Binary,
    Classification,
    MultiLabel,
    Objective,
    Regression,
    choices,
)
from mtl_framework.data.objectives.maps.binary_map import BinaryMap
from mtl_framework.data.objectives.maps.depth import Depth
from mtl_framework.data.objectives.maps.map_regression import MapRegression
from mtl_framework.data.objectives.maps.normals import Normals
from mtl_framework.data.objectives.maps.segmentation import Segmentation
from mtl_framework.data.tasks import Examples, Task

ROWS, SIDE = 12, 4
numbers = torch.linspace(1, 7, ROWS).reshape(-1, 1)
maps = torch.linspace(1, 7, ROWS * SIDE * SIDE).reshape(ROWS, SIDE, SIDE)
directions = torch.nn.functional.normalize(torch.stack([maps, maps.flip(0), 8 - maps], 1), dim=1)
rare = (torch.arange(ROWS) % 4 == 0).long()

#: What an objective is tried on: what the suite says of the task, and its targets.
TASKS: dict[str, tuple[Objective, Tensor]] = {
    "classification": (Classification(3), torch.arange(ROWS).remainder(4).clamp(max=2)),
    "binary": (Binary(), rare),
    "multi_label": (MultiLabel(2), torch.stack([rare, 1 - rare], 1)),
    "regression": (Regression(), numbers),
    "poisson": (Regression.standardized(numbers), numbers),
    "gaussian": (Regression(), numbers),
    "ordinal": (Classification(3), torch.arange(ROWS) % 3),
    "segmentation": (Segmentation(3), (maps < 5).long() + (maps < 2).long()),
    "depth": (Depth(), maps),
    "normals": (Normals(), directions),
    "binary_map": (BinaryMap(), (maps < 2).long()),
    "map_regression": (MapRegression(), maps[:, None]),
}
#: Values of every option, that of its own default not among them.
VALUES: dict[tuple[str, str], list[Any]] = {
    ("classification", "label_smoothing"): [0.2],
    ("classification", "class_weights"): ["balanced", (1.0, 2.0, 0.5)],
    ("classification", "focal_gamma"): [2.0],
    ("binary", "positive_weight"): ["balanced", 5.0],
    ("binary", "focal_gamma"): [2.0],
    ("multi_label", "label_names"): [("a", "b")],
    ("multi_label", "positive_weights"): ["balanced", (3.0, 0.5)],
    ("multi_label", "focal_gamma"): [2.0],
    ("regression", "loss"): ["l1", "smooth_l1"],
    ("regression", "beta"): [0.25],
    ("regression", "standardize"): [True],
    ("gaussian", "standardize"): [True],
    ("segmentation", "class_weights"): ["balanced", (1.0, 2.0, 0.5)],
    ("depth", "loss"): ["berhu", "inverse"],
    ("normals", "loss"): ["l1"],
    ("binary_map", "positive_weight"): ["balanced", 3.0],
    ("map_regression", "loss"): ["l1", "smooth_l1"],
}
#: What else has to be set so that an option matters.
BESIDE: dict[tuple[str, str], dict[str, Any]] = {("regression", "beta"): {"loss": "smooth_l1"}}


def build(name: str, **options: Any) -> Objective:
    said, targets = TASKS[name]
    examples = Examples(torch.zeros(ROWS, 3), targets)
    choose: Callable[..., Objective] = getattr(choices, name)
    return choose(Task("t", said, examples, examples), **options)


def losses(name: str, objective: Objective) -> Tensor:
    _, targets = TASKS[name]
    outputs = torch.randn(
        (ROWS, objective.num_outputs, *((SIDE, SIDE) if objective.is_map else ())),
        generator=torch.Generator().manual_seed(4),
    )
    return objective.losses(outputs, targets)


def test_the_table_has_every_option() -> None:
    functions = {name: getattr(choices, name) for name in (*TASKS, "language_model")}
    options = {
        (name, key)
        for name, function in functions.items()
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert options == set(VALUES)
    public = {
        name
        for name, function in vars(choices).items()
        if inspect.isfunction(function)
        and function.__module__ == choices.__name__
        and next(iter(inspect.signature(function).parameters.values())).kind
        is inspect.Parameter.POSITIONAL_ONLY
    }
    assert public == set(functions)


@pytest.mark.parametrize(("name", "key"), VALUES)
def test_every_option_does_something(name: str, key: str) -> None:
    beside = BESIDE.get((name, key), {})
    seen = [build(name, **beside)]
    for value in VALUES[name, key]:
        objective = build(name, **{**beside, key: value})
        for other in seen:
            if key == "label_names":
                assert objective.metrics() is not None
                assert objective != other
                assert objective.describe(torch.zeros(1, 2)) != other.describe(torch.zeros(1, 2))
            else:
                assert not torch.allclose(losses(name, objective), losses(name, other))
        seen.append(objective)


@pytest.mark.parametrize("name", ["poisson", "gaussian", "ordinal"])
def test_other_likelihoods_are_others_than_the_suites(name: str) -> None:
    said, _ = TASKS[name]
    chosen = build(name)
    assert type(chosen) is not type(said)
    assert bool(losses(name, chosen).isfinite().all())
