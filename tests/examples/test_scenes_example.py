"""The example on maps: what it compares, and that every cell of it trains."""

import json
from pathlib import Path

import pytest

import mtl_framework
from mtl_framework.comparisons.config import read_comparison
from mtl_framework.comparisons.grid import Cell, make_grid
from mtl_framework.plugins.manager import Plugins

FILE = Path(__file__).parents[2] / "examples" / "scenes.yaml"


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return list(make_grid(read_comparison(FILE, Plugins.load())))


def test_seven_ways_of_sharing_on_two_backbones_with_five_seeds(cells: list[Cell]) -> None:
    assert len(cells) == 70
    names = {(cell.backbone, cell.strategy) for cell in cells}
    learned = ("learned", "learned, fast")
    ways = ("full", "none", *learned, "cross-stitch", "adapters", "low-rank adapters")
    assert names == {(b, s) for b in ("cnn", "transformer") for s in ways}
    assert {cell.seed for cell in cells} == set(range(5))
    assert {cell.config.backbone.name for cell in cells} == {"resnet18", "vit_tiny_patch16_224"}


@pytest.mark.long
def test_every_cell_trains(cells: list[Cell], tmp_path: Path) -> None:
    sizes = {"train": 8, "validation": 8, "test": 8}
    for cell in (cell for cell in cells if cell.seed == 0):
        config = cell.config.model_dump(mode="json")
        config["suite"] |= sizes
        config |= {"iterations": 1, "eval_every": 1}
        config["training"]["schedule"]["warmup"] = 0
        folder = tmp_path / f"{cell.backbone}-{cell.strategy}"
        mtl_framework.run(config=config, output=folder, progress=False)
        metrics = json.loads((folder / "result.json").read_text())["test"]["metrics"]
        assert list(metrics) == ["segmentation", "depth", "normals"]
