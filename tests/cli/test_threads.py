"""Threads of the command's process wait as suits the machine, unless the user has decided."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_framework.support import threads

PROGRAM = """
import os, sys
from pathlib import Path
from mtl_framework.cli import main
from mtl_framework.support import threads
assert "torch" not in sys.modules
threads.LOAD, threads.QUOTA = Path(sys.argv[1], "load"), Path(sys.argv[1], "quota")
os.sched_getaffinity = lambda pid: {0, 1}
try:
    main(["--version"])
except SystemExit:
    print(os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT"))
"""
KEYS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
IDLE, BUSY = "0.9 0.2 0.1 1/90 77", "0.0 0.0 0.0 900/990 77"


def policy(folder: Path, load: str, **given: str) -> list[str]:
    """What the command sets, given what Linux says of the moment and what the user has set."""
    (folder / "load").write_text(load)
    environment = {key: value for key, value in os.environ.items() if key not in KEYS} | given
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()[-2:]


@pytest.mark.parametrize(
    ("load", "given", "found"),
    [
        (BUSY, {}, ["passive", "None"]),
        (IDLE, {}, ["passive", "1000"]),
        (IDLE, {"GOMP_SPINCOUNT": "7"}, ["passive", "7"]),
        (IDLE, {"OMP_WAIT_POLICY": "active"}, ["active", "None"]),
        ("nothing of the kind", {}, ["passive", "None"]),
    ],
)
def test_threads_spin_shortly_on_an_idle_machine(
    load: str, given: dict[str, str], found: list[str], tmp_path: Path
) -> None:
    assert policy(tmp_path, load, **given) == found


@pytest.mark.parametrize(
    ("processors", "running", "quota", "idle"),
    [
        (2, 1, "max 100000", True),
        (2, 2, "max 100000", False),
        (32, 5, None, True),
        (32, 6, None, False),
        (8, 1, "800000 100000", True),
        (8, 1, "200000 100000", False),  # a container on two of eight
        (8, 1, "of another kind", True),
    ],
)
def test_only_who_has_all_processors_spins(
    processors: int, running: int, quota: str | None, idle: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "load").write_text(f"0.1 0.1 0.1 {running}/200 77\n")
    if quota is not None:
        (tmp_path / "quota").write_text(quota + "\n")
    monkeypatch.setattr(threads, "LOAD", tmp_path / "load")
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "quota")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)), raising=False)
    assert threads.is_idle() is idle


@pytest.mark.skipif(not threads.LOAD.exists(), reason="Linux alone says what runs at the moment")
def test_a_machine_at_work_is_not_idle() -> None:
    spinning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in os.sched_getaffinity(0)
    ]
    try:
        assert not threads.is_idle()
    finally:
        for process in spinning:
            process.kill()
            process.wait()
