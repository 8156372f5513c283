"""Writes the reference of all keys of configs and options of plugins: docs/reference/options.md.

    python tools/options.py

Everything comes from the code: the models of a run's and a comparison's config, and the options of
every strategy and suite that comes with the framework. Observers need packages of their own, and
are described by ``mtl describe --observer NAME`` where those are installed.
"""

from pathlib import Path

from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.cli.option_tables import (
    Option,
    OptionTable,
    function_options,
    markdown,
    model_options,
    strategy_options,
)
from mtl_framework.comparisons.settings import Settings
from mtl_framework.comparisons.tuning.config import TuneConfig
from mtl_framework.data.augmentation import AugmentationConfig
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import RunConfig, TaskMetrics
from mtl_framework.strategies.training import TrainingConfig

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "options.md"
_BEGINNING = """# Every option

This page is made from the code by `python tools/options.py`. `mtl describe --strategy NAME`,
`--suite NAME` and `--observer NAME` show the same of single plugins, third parties' included. On
the command line a key of the config file is `--set KEY=VALUE`; an option of the strategy needs no
prefix.
"""


def page(plugins: Plugins) -> str:
    """The whole page."""
    parts = [_BEGINNING]

    def section(title: str, options: tuple[Option, ...], about: str = "") -> None:
        parts.append(f"## {title}\n")
        parts.append(f"{about}\n" if about else "")
        parts.append((markdown(options) if options else "It has no options.") + "\n")

    section("A run", model_options(RunConfig), "The keys of a run's config file.")
    section("backbone", model_options(BackboneConfig), "The keys within `backbone`.")
    section(
        "augmentation.all, or augmentation.TASK",
        model_options(AugmentationConfig),
        "What is done to training images: the keys of every entry of `augmentation`.",
    )
    section("training", model_options(TrainingConfig), "The keys within `training`.")
    section("metrics.TASK", model_options(TaskMetrics), "The keys of a task, or of all.")
    section(
        "A comparison", model_options(Settings), "The keys that only a comparison's config has."
    )
    section("tune", model_options(TuneConfig), "The keys within `tune`, of a search's config.")
    for table in _tables(plugins):
        section(f"{table.kind} {table.name}", table.options, table.about)
    return "\n".join(part for part in parts if part)


def _tables(plugins: Plugins) -> list[OptionTable]:
    tables = [strategy_options(n, plugins.strategy(n)) for n in plugins.names("strategy")]
    tables += [function_options("suite", n, plugins.suite(n)) for n in plugins.names("suite")]
    objectives = plugins.names("objective")
    tables += [function_options("objective", n, plugins.objective(n)) for n in objectives]
    heads = plugins.names("head")
    tables += [function_options("head", n, plugins.head(n)) for n in heads]
    return tables


if __name__ == "__main__":
    PAGE.write_text(page(Plugins.load()))
    print(PAGE)
