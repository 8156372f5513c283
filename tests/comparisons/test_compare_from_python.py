"""Comparisons from Python: the command's own, and of Python objects in this process."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny import Routed, Soft, TinyPlugins, content, tiny_suite

from mtl_framework import Comparison, MtlError, compare, hookimpl, load_suite, run
from mtl_framework.cli import main
from mtl_framework.networks.result import Result
from mtl_framework.plugins.manager import Plugins

COMMON: dict[str, Any] = {"iterations": 2, "eval_every": 2, "batch_size": 8, "device": "cpu"}


class Mine(Soft):
    pass


def tiny_comparison(folder: Path, plugins: TinyPlugins | None = None, **options: Any) -> Comparison:
    values = {"suite": tiny_suite(), "backbone": "tiny", "strategies": [Mine, "routed"]}
    settings = {**values, **COMMON, "seeds": 2, "progress": False, **options}
    return compare(output=folder, plugins=plugins or TinyPlugins(), **settings)


def states(found: Comparison) -> dict[tuple[str, int], str]:
    return {(record.strategy, record.seed): record.state for record in found.records}


def test_only_some_strategies_are_run_and_all_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    both: dict[str, Any] = {"strategies": ["soft", "routed"], "baseline": "soft"}
    first = tiny_comparison(folder, only="routed", **both)
    waiting = {("soft", 0): "waiting", ("soft", 1): "waiting"}
    assert states(first) == {**waiting, ("routed", 0): "done", ("routed", 1): "done"}
    assert first.report is not None
    lines = (folder / "comparison.csv").read_text().splitlines()
    second = tiny_comparison(folder, only=["soft"], **both)
    assert set(states(second).values()) == {"done"}
    done = {line for line in lines if ",done," in line}
    assert done
    assert done < set((folder / "comparison.csv").read_text().splitlines())
    with pytest.raises(
        MtlError, match=r"unknown strategy of this comparison 'ruoted'; did you mean 'routed'\? \("
    ):
        tiny_comparison(folder, only=["soft", "ruoted"], **both)


class StopsNoSharing:
    """A plugin that interrupts the runs of one strategy."""

    @hookimpl
    def mtl_step(self, run: Any) -> None:
        if run.strategy_name == "no_sharing":
            signal.raise_signal(signal.SIGINT)


@pytest.mark.long
def test_controls_that_are_done_stay_when_others_are_interrupted(tmp_path: Path) -> None:
    learned = {"name": "lws", "as": "learned", "search_data": 0, "shared_start": 0}
    values: dict[str, Any] = {
        "suite": load_suite("digits", size=8), "backbone": "dkl_convnet", "seeds": 1,
        "strategies": ["no_sharing", learned], "controls": ["retrained"], **COMMON,
    }  # fmt: skip
    found = compare(output=tmp_path / "c", progress=False, only=["learned"], **values)
    done = {("no_sharing", 0): "waiting", ("learned", 0): "done", ("learned: retrained", 0): "done"}
    assert states(found) == done
    plugins = Plugins.load()
    plugins.register(StopsNoSharing(), "stops")
    with pytest.raises(KeyboardInterrupt):
        compare(
            output=tmp_path / "c", progress=False, plugins=plugins, only=["no_sharing"], **values
        )
    written = json.loads((tmp_path / "c" / "comparison.json").read_text())
    there = {(run["strategy"], run["seed"]): run["state"] for run in written["runs"]}
    assert there == {**done, ("no_sharing", 0): "stopped"}


@pytest.mark.long
def test_python_objects_are_compared_in_this_process(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="needs the extra [pandas]")
    before_it = torch.get_rng_state(), str(np.random.get_state())
    found = tiny_comparison(tmp_path / "c", keep="both")
    assert torch.equal(torch.get_rng_state(), before_it[0])
    assert str(np.random.get_state()) == before_it[1]
    assert repr(found) == f"<Comparison: 2 strategies, 4 of 4 runs done, in {tmp_path / 'c'}>"
    assert found.report == tmp_path / "c" / "report.html"
    cell = next(r for r in found.records if r.strategy == "routed" and r.seed == 1)
    alone = run("routed", "tiny", tiny_suite(), output=tmp_path / "r", plugins=TinyPlugins(),
                progress=False, seed=1, **COMMON)  # fmt: skip
    assert content(cell.directory) == content(tmp_path / "r")
    frame = found.to_pandas()
    mean = frame[
        (frame.strategy == "routed") & (frame.seed == 1) & (frame.metric == "error_mean")
    ].set_index("split")
    assert mean.loc["test", "value"] == alone.test.error_mean
    page = found._repr_html_()
    row = found.analyses[0].row("routed")
    assert row.error_mean is not None
    assert f"{row.error_mean.mean:.2f}" in page
    assert "python:Mine" in page
    before = {record.directory: record.result for record in found.records}
    again = tiny_comparison(tmp_path / "c", Untouched(), keep="both")
    assert {record.directory: record.result for record in again.records} == before
    for wrong in ({"workers": 2}, {"ray": "auto"}):
        with pytest.raises(MtlError, match="strategy 'Mine' is a Python object, which other proc"):
            tiny_comparison(tmp_path / "c", **wrong)


class Untouched(TinyPlugins):
    def notify(self, hook: str, **values: Any) -> None:
        raise AssertionError("a finished cell was run again")


@pytest.mark.long
def test_an_interruption_and_a_failure(tmp_path: Path) -> None:
    whole = tiny_comparison(tmp_path / "whole", seeds=1)

    class Stopping(TinyPlugins):
        def notify(self, hook: str, **values: Any) -> None:
            if hook == "mtl_step" and values["run"].strategy_name == "routed":
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"interrupted, all saved in .*; the same"):
        tiny_comparison(tmp_path / "cut", Stopping(), seeds=1)
    done = tiny_comparison(tmp_path / "cut", seeds=1)
    figures = [[r.result.test for r in c.records if r.result] for c in (whole, done)]
    assert figures[0] == figures[1]

    class Broken(Routed):
        def optimize(self, run: Any) -> Any:
            raise RuntimeError("no luck")
            yield

    failed = tiny_comparison(tmp_path / "f", strategies=[Mine, Broken], seeds=1)
    assert [record.strategy for record in failed.failed] == ["python:Broken"]
    assert "1 failed" in repr(failed)
    assert "no luck" in failed._repr_html_()


def test_faults_are_told_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(MtlError) as caught:
        compare(strategies=["lwss"], suite="digits", iterations=0, output=tmp_path / "c")
    assert "compare: unknown strategy 'lwss'; did you mean 'lws'?" in str(caught.value)
    assert "compare: iterations should be greater than or equal to 1" in str(caught.value)
    assert not (tmp_path / "c").exists()


@pytest.mark.long
def test_it_is_the_commands_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command finds nothing left to do of what Python has compared, and the same figures."""
    monkeypatch.chdir(tmp_path)
    file = Path("c.yaml")
    file.write_text(
        "suite: {name: digits, size: 12}\nbackbone: dkl_convnet\nstrategies: [full_sharing]\n"
        "seeds: [4]\niterations: 2\ndevice: cpu\n"
    )
    shown = compare(file, dry_run=True, progress=False)
    assert "1 runs are left: about" in capsys.readouterr().out
    assert not Path("comparisons").exists()
    assert shown.analyses == ()
    found = compare(file, progress=False)
    assert found.directory == Path("comparisons/c")
    assert capsys.readouterr().out == ""
    written = Path("comparisons/c/comparison.json").read_text()
    with pytest.raises(SystemExit):
        main(["compare", "c.yaml", "--dry-run"])
    assert "nothing is left to run" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["compare", "c.yaml"])
    assert ended.value.code == 0
    assert Path("comparisons/c/comparison.json").read_text() == written
    assert json.loads(written)["runs"][0]["test"]["error_mean"] == found.results[0].test.error_mean
    values = {"suites": [{"name": "digits", "size": 12}], "backbone": "dkl_convnet"}
    same = compare(values, strategies=["full_sharing"], seeds=[4], iterations=2, device="cpu",
                   output="comparisons/c", progress=False)  # fmt: skip
    assert same.results == found.results


@pytest.mark.long
def test_a_result_that_could_not_be_read_for_a_moment_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"strategies": [Mine], "seeds": 1}
    tiny_comparison(tmp_path / "c", **options)
    (file,) = tmp_path.glob("c/runs/*/result.json")
    before, load = file.read_bytes(), Result.load
    unread = [file]

    def once(path: Path) -> Result:
        if unread:
            raise MtlError(f"cannot read {unread.pop()}: Input/output error")
        return load(path)

    monkeypatch.setattr(Result, "load", once)
    again = tiny_comparison(tmp_path / "c", **options)
    assert not unread
    assert [record.state for record in again.records] == ["done"]
    assert file.read_bytes() == before
