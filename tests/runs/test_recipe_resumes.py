"""A run that is stopped goes on bit for bit, with every option of ``training`` and any strategy."""

from pathlib import Path
from typing import Any

import pytest
from support.recipes import (
    BY_STEP,
    BY_VALIDATION,
    FULL,
    STRATEGIES,
    WEIGHTED,
    recipe_options,
    recipe_plugins,
    weighted,
)
from support.tiny import content, start

from mtl_framework.runs.run import Interrupted
from mtl_framework.strategies.training import AverageConfig, ScheduleConfig, TrainingConfig


def test_the_recipes_set_every_option() -> None:
    recipes = (FULL, BY_VALIDATION, WEIGHTED)
    assert {key for recipe in recipes for key in recipe} == set(TrainingConfig.model_fields)
    schedules = (*(recipe["schedule"] for recipe in recipes[:2]), *BY_STEP)
    assert {key for chosen in schedules for key in chosen} == set(ScheduleConfig.model_fields)
    names = ScheduleConfig.model_fields["name"].annotation.__args__  # type: ignore[union-attr]
    assert {chosen["name"] for chosen in schedules} == set(names)
    averages = [recipe["average"] for recipe in recipes]
    assert {key for chosen in averages for key in chosen} == set(AverageConfig.model_fields)
    assert len(STRATEGIES) >= len(BY_STEP)  # each of them with one strategy or more


@pytest.mark.parametrize(
    "recipe", ["by_validation", pytest.param("weighted", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_goes_on_as_if_not_stopped(tmp_path: Path, strategy: str, recipe: str) -> None:
    training: dict[str, Any] = BY_VALIDATION if recipe == "by_validation" else weighted(strategy)
    chosen = recipe_options(strategy, **training)
    if recipe == "by_validation":
        chosen["iterations"] = 4  # an evaluation before the stop, one behind it
    start(tmp_path / "whole", recipe_plugins(), **chosen).execute()
    with pytest.raises(Interrupted):
        start(tmp_path / "r", recipe_plugins(3), **chosen).execute()
    start(tmp_path / "r", recipe_plugins(), resume=True, **chosen).execute()
    assert content(tmp_path / "r") == content(tmp_path / "whole")
