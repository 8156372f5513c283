"""A run that is stopped, in whatever way, and goes on equals one that was not."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from support.stopped import STRATEGIES, Signals
from support.tiny import TinyPlugins, content, start

from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.config import check_config
from mtl_framework.runs.run import Interrupted, Run
from mtl_framework.strategies.step import Step


class StopsAfter:
    """The same as a plugin of a user's."""

    def __init__(self, after: int) -> None:
        self.after = after

    @hookimpl
    def mtl_step(self, run: Run, step: Step) -> None:
        if run.iteration == self.after:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What uninterrupted runs write."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    for strategy in STRATEGIES:
        start(folder / strategy, strategy=strategy).execute()
    return {strategy: content(folder / strategy) for strategy in STRATEGIES}


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_stopped_after_any_step_goes_on_as_if_it_had_not(
    tmp_path: Path, whole: dict[str, Any], strategy: str, at: int
) -> None:
    with pytest.raises(Interrupted, match=f"iteration {at} of 6") as error:
        start(tmp_path / "r", Signals(at), strategy=strategy).execute()
    assert f"mtl run --resume --output {tmp_path / 'r'}" in str(error.value)
    assert error.value.signal == signal.SIGINT
    torch.rand(at)
    run = start(tmp_path / "r", strategy=strategy, resume=True)
    assert run.iteration == at
    run.execute()
    assert content(tmp_path / "r") == whole[strategy]


@pytest.mark.long
def test_the_papers_network_on_embedded_data_goes_on(tmp_path: Path) -> None:
    config = check_config(
        {
            "strategy": {"name": "lws"}, "backbone": {"name": "dkl_convnet"},
            "suite": {"name": "digits"}, "iterations": 4, "eval_every": 3, "batch_size": 4,
            "log_every": 1, "device": "cpu",
        }
    )  # fmt: skip
    Run.start(config, Plugins.load(), tmp_path / "whole").execute()
    stopping = Plugins.load()
    stopping.register(StopsAfter(2), "stops")
    with pytest.raises(Interrupted):
        Run.start(config, stopping, tmp_path / "r").execute()
    Run.start(config, Plugins.load(), tmp_path / "r", resume=True).execute()
    assert content(tmp_path / "r") == content(tmp_path / "whole")


def test_a_run_stopped_after_every_step_goes_on(tmp_path: Path, whole: dict[str, Any]) -> None:
    for at in range(1, 7):
        with pytest.raises(Interrupted):
            start(tmp_path / "r", Signals(at), resume=at > 1).execute()
    start(tmp_path / "r", resume=True).execute()
    assert content(tmp_path / "r") == whole["soft"]


@pytest.mark.parametrize("at", [2, 6])
def test_a_signal_during_an_evaluation_waits_for_its_end(
    tmp_path: Path, whole: dict[str, Any], at: int
) -> None:
    class Nervous(TinyPlugins):
        def notify(self, hook: str, **values: Any) -> None:
            super().notify(hook, **values)
            if hook == "mtl_evaluated" and values["run"].iteration == at:
                signal.raise_signal(signal.SIGTERM)

    run = start(tmp_path / "r", Nervous())
    if at == 6:  # nothing is left to stop
        run.execute()
    else:
        with pytest.raises(Interrupted) as error:
            run.execute()
        assert error.value.signal == signal.SIGTERM
        start(tmp_path / "r", resume=True).execute()
    assert content(tmp_path / "r") == whole["soft"]


def test_a_second_interrupt_stops_at_once_and_handlers_come_back(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Python's own handler, whatever libraries that other tests use have put in its place
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    former = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    class Impatient(TinyPlugins):
        def notify(self, hook: str, **values: Any) -> None:
            super().notify(hook, **values)
            if hook == "mtl_step" and values["run"].iteration == 3:
                signal.raise_signal(signal.SIGINT)
                while signal.getsignal(signal.SIGINT) is not former[0]:
                    pass  # two signals before the first is handled would count as one
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "r", Impatient()).execute()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == former
    assert start(tmp_path / "r", resume=True).iteration == 2
    with pytest.raises(Interrupted):
        start(tmp_path / "s", Signals(1)).execute()
    start(tmp_path / "t").execute()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == former


def test_a_run_in_another_thread_leaves_signals_alone(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    thread = threading.Thread(target=lambda: start(tmp_path / "r").execute())
    thread.start()
    thread.join()
    assert content(tmp_path / "r") == whole["soft"]
