"""The example that chooses settings of a short search by validation."""

from pathlib import Path

from mtl_framework.comparisons.config import read_comparison
from mtl_framework.comparisons.grid import make_grid
from mtl_framework.plugins.manager import Plugins

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_what_was_chosen_is_what_the_recipes_are_compared_with() -> None:
    plugins = Plugins.load()
    tried = {
        cell.strategy: cell.config
        for cell in make_grid(read_comparison(EXAMPLES / "short_search.yaml", plugins))
    }
    assert len({str(config.strategy) for config in tried.values()}) == 11
    compared = {
        cell.strategy: cell.config
        for cell in make_grid(read_comparison(EXAMPLES / "recipe.yaml", plugins))
        if cell.suite == "alphabets" and cell.seed == 0
    }
    chosen = compared["learned, good recipe"]
    assert tried["leaning"].strategy == chosen.strategy == compared["learned"].strategy
    for config in tried.values():
        assert config.training == chosen.training
        assert config.augmentation == chosen.augmentation
        assert (config.iterations, config.batch_size) == (chosen.iterations, chosen.batch_size)
