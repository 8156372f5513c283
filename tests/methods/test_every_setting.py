"""Every installed strategy works with every normalisation and precision, or refuses in a line."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from support.several import OPTIONS, free_strategies
from support.tiny import EvenNet, tiny_suite

from mtl_framework import run
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.plugins.manager import Plugins
from mtl_framework.support.errors import MtlError

STRATEGIES = free_strategies(())
#: Further ways in which strategies compute their networks: the strategy, and its options.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "adapters in series": ("adapters", {"kind": "series", "trunk": "trained"}),
    "adapters beside what is frozen": ("adapters", {"kind": "parallel", "trunk": "frozen"}),
    "learned adapters": (
        "adapters", {"kind": "low_rank", "rank": 2, "assignment": "learned", "trunk": "trained"}
    ),
    "routing by gradients": ("routing_networks", {"router": "gumbel"}),
    "groups that go on": ("task_grouping", {"restart": False, "measure": 0.5, "every": 1}),
    "units that go on": ("recon", {"restart": False, "measure": 0.5, "every": 1}),
}  # fmt: skip
#: Strategies that refuse tasks whose inputs are their own, and the words of the refusal.
REFUSED = {"fafs": "compares tasks on the same examples"}


def common_inputs() -> Suite:
    """The tiny tasks, with labels for the same images; a third of them lack one."""
    suite = tiny_suite()
    first, second = suite.tasks

    def split(name: str) -> tuple[Examples, Examples]:
        b = getattr(second, name)
        count = len(b.targets)
        labelled = torch.arange(count) % 3 != 0
        return (
            Examples(b.inputs, torch.arange(count) % 3, labelled=labelled),
            Examples(b.inputs, b.targets),
        )

    train, test, validation = split("train"), split("test"), split("validation")
    tasks = [
        Task(task.name, task.objective, train[n], test[n], validation[n])
        for n, task in enumerate((first, second))
    ]
    return Suite("common", tasks, common_input=True)


def losses(folder: Path, strategy: str, common: bool, **settings: Any) -> list[float]:
    """Train three steps of a strategy or of one of the ways, and return train and test losses."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"iterations": 3, "eval_every": 3, "batch_size": 8, "log_every": 1}
    name, own = WAYS.get(strategy, (strategy, OPTIONS.get(strategy, {})))
    result = run(
        name, EvenNet(4, 1, (4, 4)), common_inputs() if common else tiny_suite(),
        output=folder, device="cpu", progress=False, plugins=Plugins.load(),
        **options, **own, **settings,
    )  # fmt: skip
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line] + list(
        result.test.loss_per_task.values()
    )


@pytest.mark.long
@pytest.mark.parametrize("strategy", [*STRATEGIES, *WAYS])
@pytest.mark.parametrize("common", [False, True])
def test_normalizations_and_precisions(tmp_path: Path, strategy: str, common: bool) -> None:
    if not common and strategy in REFUSED:
        with pytest.raises(MtlError, match=REFUSED[strategy]) as refusal:
            losses(tmp_path / "refused", strategy, common)
        assert "\n" not in str(refusal.value)
        return
    exact = losses(tmp_path / "fp32", strategy, common)
    assert all(map(math.isfinite, exact))
    coarse = losses(tmp_path / "bf16", strategy, common, precision="bf16")
    assert coarse != exact
    assert coarse[0] == pytest.approx(exact[0], rel=0.05)  # before networks differ by much
    for mode in ("shared", "task", "pooled"):
        setting = {"backbone.normalization": mode}
        assert all(map(math.isfinite, losses(tmp_path / mode, strategy, common, **setting)))
