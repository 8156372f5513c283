"""Strategies at equal time: pilots, the iterations that follow from them, and going on."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from support.tiny import Routed, TinyPlugins, tiny_suite

from mtl_framework import Comparison, MtlError, compare
from mtl_framework.comparisons.config import check_comparison
from mtl_framework.comparisons.equal_time import cells_at_equal_time, track_pilots
from mtl_framework.networks.result import Result

COMMON: dict[str, Any] = {"iterations": 3, "eval_every": 3, "batch_size": 8, "device": "cpu"}


class Broken(Routed):
    def optimize(self, run: Any) -> Any:
        raise RuntimeError("no luck")
        yield


class Untouched(TinyPlugins):
    def notify(self, hook: str, **values: Any) -> None:
        raise AssertionError("a finished run was done again")


def at_equal_time(folder: Path, plugins: TinyPlugins | None = None, **options: Any) -> Comparison:
    values = {"suite": tiny_suite(), "backbone": "tiny", "strategies": ["soft", "routed"]}
    settings = {**values, **COMMON, "seeds": [4, 5], "seconds": 0.03, **options}
    return compare(output=folder, plugins=plugins or TinyPlugins(), progress=False, **settings)


def done_in(folder: Path) -> list[tuple[str, int, int, float]]:
    """Strategy, seed, iterations and pace of every run in a comparison's folder."""
    runs = []
    for file in sorted(folder.glob("runs/*/result.json")):
        result = Result.load(file)
        pace = result.seconds_per_iteration
        runs.append((result.strategy, result.seed, result.iterations, pace))
    return runs


@pytest.mark.long
def test_runs_have_the_iterations_that_fit_at_their_pilots_pace(tmp_path: Path) -> None:
    found = at_equal_time(tmp_path / "c")
    runs = done_in(tmp_path / "c")
    paces = {name: pace for name, seed, iterations, pace in runs if (seed, iterations) == (4, 3)}
    assert set(paces) == {"soft", "routed"}
    assert len(found.results) == 4
    for record in found.records:
        assert record.iterations == max(1, round(0.03 / paces[record.strategy]))
    before = {record.directory: record.result for record in found.records}
    again = at_equal_time(tmp_path / "c", Untouched())
    assert {record.directory: record.result for record in again.records} == before


@pytest.mark.long
def test_it_goes_on_after_an_interruption_of_a_pilot(tmp_path: Path) -> None:
    class Stopping(TinyPlugins):
        def notify(self, hook: str, **values: Any) -> None:
            if hook == "mtl_step" and values["run"].strategy_name == "routed":
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        at_equal_time(tmp_path / "c", Stopping())
    content = json.loads((tmp_path / "c" / "comparison.json").read_text())
    # the runs of soft, whose pace is known, and routed's pilot
    runs = [(run["strategy"], run["iterations"]) for run in content["runs"]]
    assert [name for name, _ in runs] == ["soft", "soft", "routed"]
    assert runs[2] == ("routed", 3)
    assert len(at_equal_time(tmp_path / "c").results) == 4


@pytest.mark.long
def test_only_strategies_with_a_pilot_have_a_length(tmp_path: Path) -> None:
    first = at_equal_time(tmp_path / "c", only=["routed"])
    states = [(record.strategy, record.state) for record in first.records]
    assert states == [("routed", "done"), ("routed", "done"), ("soft", "waiting")]
    lengths = {record.iterations for record in first.records if record.strategy == "routed"}

    class Stopping(TinyPlugins):
        def notify(self, hook: str, **values: Any) -> None:
            if hook == "mtl_step":
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        at_equal_time(tmp_path / "c", Stopping(), only=["soft"])
    content = json.loads((tmp_path / "c" / "comparison.json").read_text())
    there = [run for run in content["runs"] if run["strategy"] == "routed"]
    assert [(run["state"], run["iterations"]) for run in there] == [("done", *lengths)] * 2
    second = at_equal_time(tmp_path / "c", only=["soft"])
    assert len(second.results) == 4
    assert first.records[0].result in second.results


@pytest.mark.long
def test_a_pilot_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"seconds: the pilot of strategy 'python:Broken' .*no luck"):
        at_equal_time(tmp_path / "c", strategies=["soft", Broken], seeds=1)


def test_without_seconds_there_is_no_pilot(tmp_path: Path) -> None:
    values = {"suite": "tiny", "backbone": "tiny", "strategies": ["soft", "routed"], **COMMON}
    plain = check_comparison({**values, "seeds": 2}, "c", TinyPlugins())
    assert track_pilots(plain, tmp_path, TinyPlugins()) == []
    assert [cell.config.iterations for cell in cells_at_equal_time(plain, [])] == [3] * 4
    timed = check_comparison({**values, "seeds": [4, 5], "seconds": 9}, "c", TinyPlugins())
    pilots = track_pilots(timed, tmp_path, TinyPlugins())
    assert [(p.cell.strategy, p.cell.seed, p.state) for p in pilots] == [
        ("soft", 4, "waiting"), ("routed", 4, "waiting"),
    ]  # fmt: skip
    with pytest.raises(MtlError, match="seconds should be greater than 0"):
        check_comparison({**values, "seconds": 0}, "c", TinyPlugins())
