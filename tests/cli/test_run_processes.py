"""``mtl run --processes 2`` as a user has it: one that dies, Ctrl-C, and going on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import status

ENDLESS = (
    "{suite: {name: digits, size: 8}, backbone: dkl_convnet, device: cpu, batch_size: 8, "
    "strategy: full_sharing, iterations: 100000, eval_every: 20}"
)
MTL = [sys.executable, "-P", "-m", "mtl_framework"]
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def children(number: int) -> list[int]:
    """The processes that another one has started, in their order."""
    return [int(n) for n in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


def until(reached: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    limit = time.monotonic() + 200
    while not reached():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.1)


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*MTL, "run", *arguments, "--output", "out", "--processes", "2"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def newest(folder: Path) -> int:
    """The iteration of the newest checkpoint; -1: there is none."""
    return max((int(f.stem[5:]) for f in folder.glob("out/checkpoint/last-*.json")), default=-1)


@pytest.mark.long
def test_one_that_dies_ends_the_other_and_ctrl_c_saves(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(ENDLESS)
    with started(tmp_path, "--config", "c.yaml") as process:
        try:
            until(lambda: newest(tmp_path) >= 20, process)
            first, second = children(process.pid)
            os.kill(second, signal.SIGKILL)
            said = process.communicate(timeout=200)[1].splitlines()
            assert process.returncode == 2
        finally:
            process.kill()
    assert not Path(f"/proc/{first}").exists()
    kept = newest(tmp_path)
    assert said[-1] == (
        "error: process 2 of 2 was ended by SIGKILL, and the others with it; the state of "
        f"iteration {kept} is kept in out"
    )
    assert sum("error" in line and "error %" not in line for line in said) == 1

    with started(tmp_path, "--resume") as process:
        try:
            until(lambda: newest(tmp_path) > kept, process)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=200)[1].splitlines()
            assert process.returncode == 130
        finally:
            process.kill()
    assert sum("finishing this step" in line for line in said) == 1
    last = newest(tmp_path)
    assert said[-1].startswith(f"stopped: interrupted at iteration {last} of 100000, all saved")


@pytest.mark.long
def test_what_is_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(ENDLESS)
    with started(tmp_path, "--config", "c.yaml", "--set", "batch_size=9") as process:
        said = process.communicate(timeout=200)[1].splitlines()
    errors = [line for line in said if line.startswith("error:")]
    assert process.returncode == 2
    assert errors == [
        "error: batch_size 9 of 'common input' cannot be divided among 2 processes: it is for all "
        "of them together, and should be a multiple of 2"
    ]
    assert not (tmp_path / "out").exists()


def test_numbers_of_processes_are_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status("run", "--processes", "0") == 2
    assert "--processes should be at least 1, found 0" in capsys.readouterr().err
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "3",
        "MASTER_ADDR": "h",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert status("run", "--processes", "2") == 2
    assert "3 processes were started already" in capsys.readouterr().err
    assert status("compare", "c.yaml") == 2
    assert "mtl compare is one process" in capsys.readouterr().err
