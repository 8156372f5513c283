"""A comparison with controls, and made-up results of its runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mtl_framework.comparisons.config import read_comparison
from mtl_framework.comparisons.grid import Cell, make_grid
from mtl_framework.comparisons.settings import Settings
from mtl_framework.networks.evaluation import SplitMetrics
from mtl_framework.networks.model import ParameterCounts
from mtl_framework.networks.result import Assignment, Result
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.records import Control, RunRecord

CONFIG = """
suite: {name: digits, size: 8}
backbone: dkl_convnet
strategies: [full_sharing, {name: lws, as: learned, learning_rate: 0.002, nes_samples: 2,
  weight_samples: 2, nes_learning_rate: 0.3}, {name: fixed_sharing, as: given, shared_first: 2}]
seeds: 1
iterations: 4
eval_every: 4
batch_size: 4
device: cpu
controls: [retrained, permuted, roaming]
permutations: 1
"""


LOW, HIGH = [1.0, 1.1, 1.2, 1.3, 1.4], [2.0, 2.1, 2.2, 2.3, 2.4]


def result(weights: Any) -> Result:
    units = tuple(f"unit{number}" for number in range(len(weights)))
    tasks = tuple(f"task{number}" for number in range(len(weights[0])))
    split = SplitMetrics(1.0, 1.0, dict.fromkeys(tasks, 1.0), dict.fromkeys(tasks, 1.0))
    return Result(
        strategy="s", backbone="b", suite="s", seed=0, iterations=4, seconds=1.0,
        seconds_per_iteration=0.1, peak_memory=None, test=split, validation=None, best=None,
        metrics=dict.fromkeys(tasks, "error %"), parameters=ParameterCounts(1, 1),
        assignment=Assignment(units, tasks, weights), versions={}, device="cpu", threads=1,
    )  # fmt: skip


def read(tmp_path: Path, text: str = CONFIG) -> tuple[Settings, list[Cell], Plugins]:
    path, plugins = tmp_path / "c.yaml", Plugins.load()
    path.write_text(text)
    comparison = read_comparison(path, plugins)
    return comparison.settings, make_grid(comparison), plugins


def replace_controls(settings_: Settings, controls: tuple[str, ...]) -> Settings:
    return settings_.model_copy(update={"controls": controls})


def records(errors: dict[str, list[float]]) -> list[RunRecord]:
    found = []
    for kind, values in errors.items():
        control = None if kind == "searched" else Control(kind, "learned")  # type: ignore[arg-type]
        for seed, error in enumerate(values):
            one = result(((0, 1),))
            split = replace(one.test, per_task={"task0": error, "task1": error}, error_mean=error)
            label = "learned" if control is None else control.label
            found.append(
                RunRecord(label, "s", "b", seed, Path(), 4, "done", replace(one, test=split),
                          control=control)
            )  # fmt: skip
    return found
