"""TensorBoard through the public hooks: what stands in the event files."""

from pathlib import Path

import pytest
from support.tiny import TinyPlugins, content, start

from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError

pytest.importorskip("tensorboard", reason="needs the extra [tensorboard]")

import mtl_tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def plugins() -> TinyPlugins:
    found = TinyPlugins()
    found.register(mtl_tensorboard, "tensorboard")
    return found


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(directory))
    events.Reload()
    names = events.Tags()["scalars"]
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}


def test_a_named_observer_writes_what_the_run_reports(tmp_path: Path) -> None:
    observers = [{"name": "tensorboard", "every": 2}]
    result = start(tmp_path / "r", plugins(), observers=observers).execute()
    found = scalars(tmp_path / "r" / "tensorboard")
    assert [step for step, _ in found["loss/mean"]] == [2, 4, 6]
    assert {"loss/rows", "loss/sides", "metrics/entropy", "metrics/rate"} <= set(found)
    assert found["test/error_mean"][-1] == pytest.approx((6, result.test.error_mean))
    assert found["test/rows"][-1] == pytest.approx((6, result.test.per_task["rows"]))
    assert found["parameters/deployed"] == [(6, result.parameters.deployed)]


def test_it_changes_nothing_of_the_run(tmp_path: Path) -> None:
    start(tmp_path / "a", plugins(), observers=["tensorboard"]).execute()
    start(tmp_path / "b", plugins()).execute()
    with_it = {k: v for k, v in content(tmp_path / "a").items() if not k.startswith("tensorboard")}
    without = content(tmp_path / "b")
    for found in (with_it, without):
        for name in [
            n for n in found if n.endswith(("config.yaml", ".json")) and "result" not in n
        ]:
            del found[name]  # they hold the config, which names the observer
    assert with_it == without


def test_a_resumed_run_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    start(tmp_path / "r", plugins(), iterations=4, observers="tensorboard").execute()
    options = {"name": "tensorboard", "every": 1}
    start(tmp_path / "r", plugins(), iterations=6, observers=[options], resume=True).execute()
    steps = [step for step, _ in scalars(tmp_path / "r" / "tensorboard")["test/error_mean"]]
    assert steps == [2, 4, 6]


def test_an_unknown_observer_or_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match="unknown observer 'tensorbord'; did you mean"):
        start(tmp_path / "a", plugins(), observers=["tensorbord"]).execute()
    options = {"name": "tensorboard", "every": 0}
    with pytest.raises(MtlError, match=r"observers\.0\.every should be greater"):
        start(tmp_path / "b", plugins(), observers=[options]).execute()


def test_an_observer_is_told_and_closed_and_then_forgotten(tmp_path: Path) -> None:
    told: list[object] = []

    class Noting:
        def __init__(self, word: str = "x") -> None:
            self.word = word

        @hookimpl
        def mtl_run_started(self, run: Run) -> None:
            told.append((self.word, run.iteration))

        def close(self) -> None:
            told.append("closed")

    class Plugin:
        @hookimpl
        def mtl_observers(self) -> dict[str, type]:
            return {"noting": Noting}

    found = TinyPlugins()
    found.register(Plugin(), "p")
    start(tmp_path / "a", found, observers=[{"name": "noting", "word": "y"}]).execute()
    start(tmp_path / "b", found).execute()
    assert told == [("y", 0), "closed"]
