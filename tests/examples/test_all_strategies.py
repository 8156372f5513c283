"""The examples with every strategy: that none is left out, and that every cell of them trains."""

from pathlib import Path
from typing import Any

import pytest

import mtl_framework
from mtl_framework.comparisons.config import read_comparison
from mtl_framework.comparisons.grid import Cell, make_grid
from mtl_framework.plugins.manager import Plugins

FILES = [
    Path(__file__).parents[2] / "examples" / name
    for name in ("all_strategies.yaml", "all_strategies_common.yaml")
]


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    plugins = Plugins.load()
    return [cell for file in FILES for cell in make_grid(read_comparison(file, plugins))]


def test_no_strategy_is_left_out_and_all_have_one_budget(cells: list[Cell]) -> None:
    rows: dict[str, dict[str, Any]] = {suite: {} for suite in ("alphabets", "omniglot", "digits")}
    for cell in cells:
        rows[cell.suite][cell.strategy] = cell.config.strategy
    assert sorted({s.name for s in rows["digits"].values()}) == Plugins.load().names("strategy")
    assert rows["digits"].pop("fafs")
    assert rows["alphabets"] == rows["omniglot"] == rows["digits"]
    for suite in rows:
        own = [cell.config for cell in cells if cell.suite == suite]
        same = {(c.iterations, c.eval_every, c.batch_size, c.backbone.name) for c in own}
        assert len(same) == 1
        assert {cell.seed for cell in cells if cell.suite == suite} == set(range(5))
        recipes = [c.training.model_dump() for c in own]
        assert all(recipe == recipes[0] for recipe in recipes)


@pytest.mark.long
def test_every_cell_trains(cells: list[Cell], tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "tasks": ["digits", "latin"],
        "train_per_task": 40,
        "validation_per_task": 40,
        "test_per_task": 40,
    }
    chosen = [cell for cell in cells if cell.seed == 0 and cell.suite != "omniglot"]
    for cell in chosen:
        config = cell.config.model_dump(mode="json")
        config |= {"iterations": 4, "eval_every": 4, "batch_size": 4}
        if cell.suite == "alphabets":
            config["suite"] |= small
        if cell.config.strategy.name == "muir":
            config["strategy"]["steps_per_generation"] = 2
        result = mtl_framework.run(
            config=config, output=tmp_path / f"{cell.suite}-{cell.strategy}", progress=False
        )
        assert result.test.overall >= 0
