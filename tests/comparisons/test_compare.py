"""Comparisons from the command line: real cells in real processes."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtl_framework.cli import main
from mtl_framework.comparisons.cells import TRACEBACK, inspect, last_line
from mtl_framework.comparisons.config import read_comparison
from mtl_framework.comparisons.grid import Cell, make_grid
from mtl_framework.comparisons.processes import Ended, LocalProcesses, gpu_groups, settle
from mtl_framework.comparisons.workers import Cold, Warm, Worker, spawn
from mtl_framework.plugins.manager import Plugins
from mtl_framework.support.errors import MtlError

SMALL = """
suite: {name: digits, size: 8}
backbone: dkl_convnet
strategies: [full_sharing, no_sharing, {name: lws, as: learned, nes_samples: 2, weight_samples: 2}]
seeds: 3
iterations: 12
eval_every: 4
device: cpu
"""
# valid by its types, but not for three tasks: only building the networks shows it
BROKEN = "{name: lws, as: broken, initial_distribution: [[0.5, 0.5]]}"


def write(folder: Path, text: str = SMALL) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def mtl(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def cells_of(path: Path) -> list[Cell]:
    return make_grid(read_comparison(path, Plugins.load()))


def content(directory: Path) -> dict[str, Any]:
    """What two equal comparisons have in common: all but measured time and memory."""
    found: dict[str, Any] = json.loads((directory / "comparison.json").read_text())
    del found["measured"]
    return found


@pytest.mark.long
def test_three_strategies_and_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = write(tmp_path), tmp_path / "out"
    assert mtl("compare", config, "--output", out, "--dry-run") == 0
    assert "9 runs: 9 waiting" in capsys.readouterr().out
    assert not out.exists()

    assert mtl("compare", config, "--output", out, "--workers", 2) == 0
    told = capsys.readouterr()
    assert "[9/9]" in told.err
    assert "learned" in told.out
    assert "smallest p that the test can give is 0.3" in told.out
    found = content(out)
    assert [run["state"] for run in found["runs"]] == ["done"] * 9
    assert found["groups"][0]["baseline"] == "no_sharing"
    assert (out / "report.html").is_file()
    assert (out / "figures" / "digits-dkl-convnet-error.png").is_file()

    results = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/result.json")}
    assert len(results) == 9
    assert mtl("compare", config, "--output", out, "--dry-run") == 0
    assert "nothing is left to run" in capsys.readouterr().out
    assert mtl("compare", config, "--output", out) == 0
    assert {p: p.stat().st_mtime_ns for p in results} == results
    assert content(out) == found


@pytest.mark.long
def test_a_failed_cell_keeps_its_traceback_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = re.sub(r"strategies: .*", f"strategies: [{BROKEN}, full_sharing]", SMALL)
    text = text.replace("seeds: 3", "seeds: 2").replace("iterations: 12", "iterations: 4")
    config, out = write(tmp_path, text), tmp_path / "out"
    assert mtl("compare", config, "--output", out, "--workers", 2, "--json-lines") == 1
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["event"] for line in lines].count("started") == 1
    assert [run["state"] for run in lines[0]["runs"]] == ["waiting"] * 4
    ends = {(line["strategy"], line["seed"]): line for line in lines[1:-1]}
    assert {line["state"] for line in lines[1:-1]} >= {"running", "done", "failed"}
    assert "initial_distribution should be 3 tasks" in ends["broken", 0]["error"]
    assert ends["full_sharing", 1]["result"]["iterations"] == 4
    assert lines[-1]["comparison"] == json.loads((out / "comparison.json").read_text())
    assert told.err.count("initial_distribution should be 3 tasks") == 2  # at once, at the end
    assert "failed as broken, digits, dkl_convnet, seed" in told.err
    assert "failed: 2 of 4 runs: put right what is said below" in told.err
    assert "failed: 2 times: initial_distribution should be 3 tasks" in told.err
    states = {(run["strategy"], run["state"]) for run in content(out)["runs"]}
    assert states == {("broken", "failed"), ("full_sharing", "done")}
    file, _ = out.glob(f"runs/*/{TRACEBACK}")
    assert "Traceback (most recent call last)" in file.read_text()
    page = (out / "report.html").read_text()
    assert "2 runs failed: initial_distribution should be 3 tasks" in page
    # it is tried again, the others are not
    assert mtl("compare", config, "--output", out) == 1
    told = capsys.readouterr()
    assert "0/2, 2 failed" in told.out
    assert "[4/4]" not in told.err
    for wrong in (["--json"], ["--dry-run"]):
        assert mtl("compare", config, "--json-lines", *wrong) == 2


def test_wrong_files_and_resources_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = write(tmp_path, SMALL.replace("iterations: 12", "iterations: 0\nbatch_size: x"))
    assert mtl("compare", bad, "--output", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.rsplit(":", 2)[-2] for line in lines if "should be" in line] == ["6", "7"]
    config = write(tmp_path)
    assert mtl("compare", config, "--workers", 0) == 2
    assert "--workers should be at least 1" in capsys.readouterr().err
    assert mtl("compare", tmp_path / "none.yaml") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_cell_saves_its_state_when_whoever_started_it_is_gone(tmp_path: Path) -> None:
    long = SMALL.replace("iterations: 12", "iterations: 100000").replace(
        "eval_every: 4", "eval_every: 100000"
    )
    cell = cells_of(write(tmp_path, long))[0]
    folder = tmp_path / "cell"
    process = spawn(cell.config, folder, 1, None)
    wait_until(lambda: last_line(folder / "metrics.jsonl")[0] >= 10)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 128 + signal.SIGTERM
    status = inspect(folder, cell.config)
    assert (status.state, status.iteration >= 10) == ("stopped", True)


@pytest.mark.long
def test_a_killed_cell_has_failed_and_goes_on_from_its_state(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL.replace("iterations: 12", "iterations: 40"))
    cell = cells_of(path)[0]
    folder, whole = tmp_path / "cell", tmp_path / "whole"
    process = spawn(cell.config, folder, 1, None)
    wait_until(lambda: list(folder.glob("checkpoint/last-*[48].json")))
    process.kill()
    assert not settle(folder, process.wait())
    assert inspect(folder, cell.config).state == "failed"
    assert "SIGKILL" in (folder / TRACEBACK).read_text()
    executor = LocalProcesses(2, 1)
    for place in (folder, whole):
        executor.start(cell, place)
    assert not executor.has_room()
    ended: list[Ended] = []

    def both_ended() -> bool:
        ended.extend(executor.ended())
        return len(ended) == 2

    wait_until(both_ended)
    executor.stop()
    assert [e.ok for e in ended] == [True, True]
    assert inspect(folder, cell.config).state == "done"
    results = [json.loads((place / "result.json").read_text()) for place in (folder, whole)]
    assert results[0]["test"] == results[1]["test"]


def test_a_second_ctrl_c_ends_all_cells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = LocalProcesses(2, 1)
    ended: list[Worker] = []

    def wait(worker: Worker) -> None:
        raise KeyboardInterrupt

    def kill(worker: Worker) -> None:
        ended.append(worker)

    for kind in (Warm, Cold):
        monkeypatch.setattr(kind, "wait", wait)
        monkeypatch.setattr(kind, "kill", kill)
    with pytest.raises(KeyboardInterrupt):
        executor.stop()
    assert len(ended) == 2


def test_gpus_are_divided_among_runs() -> None:
    assert gpu_groups(["0", "1", "2"], 1.0) == [("0",), ("1",), ("2",)]
    assert gpu_groups(["0", "1", "2"], 2.0) == [("0", "1")]
    # neighbours in the list are on different GPUs, so that few workers spread out
    assert gpu_groups(["4", "7"], 0.5) == [("4",), ("7",), ("4",), ("7",)]
    with pytest.raises(MtlError, match="there are 1 GPUs"):
        gpu_groups(["0"], 2.0)
    with pytest.raises(MtlError, match="whole number or below 1"):
        gpu_groups(["0", "1"], 1.5)


@pytest.mark.slow
def test_ten_kills_leave_no_trace(tmp_path: Path) -> None:
    config = write(tmp_path)
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    command = [sys.executable, "-c", "from mtl_framework.cli import main; main()", "compare"]

    def start(out: Path) -> "subprocess.Popen[bytes]":
        arguments = [str(config), "--output", str(out), "--workers", "2"]
        return subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)

    begin = time.monotonic()
    assert start(quiet).wait() == 0
    span = time.monotonic() - begin
    chance = random.Random(4)
    for number in range(10):
        process = start(killed)
        # the first kills come early, so that the comparison cannot end before the last of them
        time.sleep(span * chance.uniform(0.05, 0.45))
        children = children_of(process.pid) if number % 2 else []
        for pid in (process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    assert start(killed).wait() == 0
    assert content(killed) == content(quiet)


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


def wait_until(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
