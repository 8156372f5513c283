"""Whole runs with a recipe: resumed, stopped early, averaged, and what their results say."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.recipes import FULL, STRATEGIES, recipe_options, recipe_plugins
from support.tiny import TinyPlugins, content, start, tiny_config

from mtl_framework import MtlError, Step, Strategy, TaskNetworks
from mtl_framework.comparisons.cells import finished_result
from mtl_framework.data.tasks import Suite
from mtl_framework.networks.result import Result
from mtl_framework.runs.load import load_run
from mtl_framework.runs.records import RunRecord
from mtl_framework.runs.run import Interrupted


def plugins(stop_at: int | None = None) -> TinyPlugins:
    return recipe_plugins(stop_at, worsening=Worsening)


#: Strategies of kinds that differ; `test_recipe_resumes.py` has all, with two other recipes.
KINDS = ("lws", "fixed_sharing", "pta", "cross_stitch", "muir", "adapters")


@pytest.mark.parametrize(
    "strategy",
    [pytest.param(s, marks=[] if s in KINDS else [pytest.mark.long]) for s in STRATEGIES],
)
def test_every_strategy_uses_the_recipe_and_goes_on_as_if_not_stopped(
    tmp_path: Path, strategy: str
) -> None:
    chosen = recipe_options(strategy, **FULL)
    run = start(tmp_path / "whole", plugins(), **chosen)
    optimizer = run.strategy.optimizer  # type: ignore[attr-defined]
    assert type(optimizer.inner) is torch.optim.AdamW
    run.execute()
    assert max(group["lr"] for group in optimizer.param_groups) < 0.01  # the cosine has ended
    with pytest.raises(Interrupted):
        start(tmp_path / "r", plugins(3), **chosen).execute()
    start(tmp_path / "r", plugins(), resume=True, **chosen).execute()
    assert content(tmp_path / "r") == content(tmp_path / "whole")
    result = Result.load(tmp_path / "whole")
    assert result.weights == "averaged"
    assert result.raw_test is not None
    assert result.raw_test.loss_per_task != result.test.loss_per_task
    if strategy not in ("muir", "pta"):  # where prediction is a plain function of the weights
        loaded = load_run(tmp_path / "whole", plugins=plugins()).evaluate().splits["test"]
        assert loaded.loss_per_task == pytest.approx(result.test.loss_per_task)
        best = load_run(tmp_path / "whole", plugins=plugins(), which="best").evaluate()
        assert result.best is not None
        assert best.splits["test"].loss_per_task == pytest.approx(result.best.test.loss_per_task)


@pytest.mark.parametrize("name", ["lamb", "lion", "rmsprop", "adopt"])  # and those of the recipes
def test_other_optimisers_go_on_too(tmp_path: Path, name: str) -> None:
    chosen = recipe_options("no_sharing", optimizer=name, weight_decay=0.1, average="swa")
    start(tmp_path / "whole", plugins(), **chosen).execute()
    with pytest.raises(Interrupted):
        start(tmp_path / "r", plugins(3), **chosen).execute()
    start(tmp_path / "r", plugins(), resume=True, **chosen).execute()
    assert content(tmp_path / "r") == content(tmp_path / "whole")


class Worsening(Strategy):
    """Networks that are best after their first evaluation, and worse ever after."""

    network: TaskNetworks

    def build(self, backbone: Any, suite: Suite) -> TaskNetworks:
        self.network = TaskNetworks(backbone, suite.tasks, 1)
        self.optimizer = self.make_optimizer(self.network, "momentum", 0.1)
        return self.network

    def optimize(self, run: Any) -> Generator[Step, None, None]:
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            assignments = self.network.assignment[None].cpu()
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            if run.iteration >= 2:
                for parameter in self.network.parameters():
                    parameter.grad = None if parameter.grad is None else -parameter.grad
            self.optimizer.step()
            yield Step(losses)


def test_early_stopping_and_what_is_reported(tmp_path: Path) -> None:
    chosen = {**recipe_options("worsening", stop_after=2, report="best"), "iterations": 20}
    result = start(tmp_path / "r", plugins(), **chosen).execute()
    assert result.best is not None
    assert result.ended is not None
    assert "training.stop_after=2" in result.ended
    assert result.iterations == result.best.iteration + 2 * chosen["eval_every"] < 20
    assert result.reported == "best"
    assert result.figures == result.best.test
    directory = tmp_path / "r"
    record = RunRecord("s", "x", "b", 0, directory, 20, "done", result)
    assert record.figures() == record.figures("best") == result.best.test
    files = content(directory)
    again = start(directory, plugins(), resume=True, **chosen)
    assert again.execute() == result
    assert content(directory) == files
    complete = again.config
    assert finished_result(directory, complete) == result
    with pytest.raises(Interrupted):
        start(tmp_path / "s", plugins(3), **chosen).execute()
    start(tmp_path / "s", plugins(), resume=True, **chosen).execute()
    assert content(tmp_path / "s") == files


def test_plateau_lowers_the_rate_by_validation_and_goes_on(tmp_path: Path) -> None:
    schedule = {"name": "plateau", "patience": 0, "decay_rate": 0.5}
    chosen = {**recipe_options("worsening", schedule=schedule), "iterations": 12}
    run = start(tmp_path / "whole", plugins(), **chosen)
    run.execute()
    rate = run.strategy.optimizer.param_groups[0]["lr"]  # type: ignore[attr-defined]
    assert rate < 0.1
    with pytest.raises(Interrupted):
        start(tmp_path / "r", plugins(9), **chosen).execute()
    start(tmp_path / "r", plugins(), resume=True, **chosen).execute()
    assert content(tmp_path / "r") == content(tmp_path / "whole")


@pytest.mark.parametrize("training", [{"stop_after": 1}, {"report": "best"},
                                      {"schedule": {"name": "plateau"}}])  # fmt: skip
def test_choices_by_validation_need_some(tmp_path: Path, training: dict[str, Any]) -> None:
    key = next(iter(training))
    with pytest.raises(MtlError, match=f"training.{key}.* needs validation examples"):
        start(tmp_path / "r", plugins(), suite={"name": "tiny", "validation": False},
              **recipe_options("full_sharing", **training))  # fmt: skip
    assert not (tmp_path / "r").exists()


def test_a_strategy_with_its_own_optimiser_refuses_what_it_would_ignore(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"'routed' makes its own optimiser.* training\.clip would"):
        start(tmp_path / "r", strategy="routed", training={"clip": 1.0, "report": "best"})


def test_a_section_with_defaults_changes_nothing(tmp_path: Path) -> None:
    start(tmp_path / "a", plugins(), **recipe_options("lws")).execute()
    start(tmp_path / "b", plugins(), **recipe_options("lws", weight_decay=0.0, head_factor=1.0,
                                               clip=1e6)).execute()  # fmt: skip
    a, b = (content(tmp_path / name)["metrics.jsonl"] for name in "ab")
    assert a == b
    assert tiny_config().training == tiny_config(training={}).training
