"""A run that nobody says anything about takes the strategy's preset ``quick``."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console
from support.tiny import Soft, TinyPlugins

from mtl_framework.runs.request import Request
from mtl_framework.runs.settings import Setting
from mtl_framework.strategies.strategy import StrategyConfig

FLAGS = {"strategy": "quick", "suite": "tiny", "backbone": "tiny", "device": "cpu"}


class Quick(Soft):
    """Has settings for a first look."""

    class Config(StrategyConfig):
        learning_rate: float = 0.1
        python_noise: bool = False
        width: int = 3

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"strategy": {"learning_rate": 0.5}, "iterations": 4, "eval_every": 2},
        "paper": {"strategy": {"learning_rate": 0.2}},
    }


PLUGINS = TinyPlugins(quick=Quick)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rate_of(request: Request) -> float:
    complete, _ = request.resolved(PLUGINS)
    rate: float = complete.config.strategy.options["learning_rate"]
    return rate


@pytest.mark.parametrize(
    "request_",
    [
        Request(FLAGS),
        Request({**FLAGS, "seed": 3}),
        Request(FLAGS, [Setting(("suite", "examples"), 12)]),
        Request({"strategy": "quick"}, config={"suite": "tiny", "backbone": "tiny"}),
    ],
)
def test_what_says_nothing_about_training_is_a_first_look(request_: Request) -> None:
    assert rate_of(request_) == 0.5
    complete, folder = request_.resolved(PLUGINS)
    assert (complete.config.iterations, complete.config.eval_every) == (4, 2)
    assert "preset=quick" in folder.name


@pytest.mark.parametrize(
    ("request_", "rate"),
    [
        (Request({**FLAGS, "iterations": 9}), 0.1),
        (Request({**FLAGS, "preset": "paper"}), 0.2),
        (Request({**FLAGS, "strategy": {"name": "quick", "width": 2}}), 0.1),
        (Request(FLAGS, [Setting(("width",), 2)]), 0.1),
        (Request(FLAGS, [Setting(("strategy", "width"), 2)]), 0.1),
        (Request(FLAGS, [Setting(("iterations",), 9)]), 0.1),
        (Request({"strategy": "quick"}, config={**FLAGS, "iterations": 9}), 0.1),
        (Request({**FLAGS, "strategy": "soft"}), 0.1),  # has no such preset
    ],
)
def test_whoever_says_something_about_training_is_not_second_guessed(
    request_: Request, rate: float
) -> None:
    assert rate_of(request_) == rate
    assert "quick" not in request_.resolved(PLUGINS)[1].name.replace("tiny-quick", "")


@pytest.mark.parametrize("longer", [{}, {"iterations": 6}])
def test_it_says_so_and_is_resumed_by_the_same_command(longer: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=200)
    first = Request(FLAGS).start(PLUGINS, console)
    first.execute()
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue().splitlines()[0]
    assert said.startswith("a first look: preset quick of quick, 4 iterations; ")
    again = Request({**FLAGS, **longer}, resume=True).start(PLUGINS)
    assert again.directory == first.directory
    assert again.config.strategy.options["learning_rate"] == 0.5
    assert again.execute().iterations == longer.get("iterations", 4)
