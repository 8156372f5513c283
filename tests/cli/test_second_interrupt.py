"""Two times Ctrl-C, with real processes that are in the middle of a step that does not end."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command import status

SLOW_STEPS = Path(__file__).parents[1] / "support" / "slow_steps"
# a shell has its background jobs ignore Ctrl-C, and the tests may be one: as at a terminal again
HANDLERS = {"at a terminal": "default_int_handler", "in the background": "SIG_IGN"}


def mtl(where: str) -> list[str]:
    """The command, with Ctrl-C as Python or a shell leaves it to a process."""
    given = f"import signal; signal.signal(signal.SIGINT, signal.{HANDLERS[where]}); "
    return [sys.executable, "-c", f"{given}from mtl_framework.cli import main; main()"]


NETWORK = "{suite: {name: digits, size: 8}, backbone: dkl_convnet, device: cpu"
TRAINING = "iterations: 6, eval_every: 2, log_every: 1}"
COMMANDS = {
    "run": ("run", f"{NETWORK}, strategy: full_sharing, {TRAINING}"),
    "compare": ("compare", f"{NETWORK}, strategies: [full_sharing], seeds: 2, {TRAINING}"),
}


def alive(number: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("run", "at a terminal"),
        pytest.param("run", "in the background", marks=pytest.mark.long),
        pytest.param("compare", "at a terminal", marks=pytest.mark.slow),
    ],
)
def test_the_first_waits_for_the_step_and_the_second_does_not(
    tmp_path: Path, command: str, where: str
) -> None:
    name, config = COMMANDS[command]
    (tmp_path / "c.yaml").write_text(config)
    arguments = ["c.yaml"] if name == "compare" else ["--config", "c.yaml"]
    step = tmp_path / "step"
    environment = {
        **os.environ,
        "PYTHONPATH": str(SLOW_STEPS),
        "SLOW_STEP": str(step),
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [*mtl(where), name, *arguments, "--output", "out"],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            limit = time.monotonic() + 240
            while not (step.exists() and step.read_text()) and time.monotonic() < limit:
                assert process.poll() is None
                time.sleep(0.05)
            worker = int(step.read_text())
            process.send_signal(signal.SIGINT)
            said = ""
            while not re.search("finish(ing this| their) step", said):
                said += process.stderr.readline()
            time.sleep(0.5)
            assert process.poll() is None
            assert alive(worker)
            process.send_signal(signal.SIGINT)
            said += process.stderr.read()
            assert process.wait(120) == 130
        finally:
            process.kill()
    assert not alive(worker)
    assert said.splitlines()[-1] == "stopped: interrupted at once; what was saved before is kept"
    assert "Traceback" not in said
    (checkpoint,) = tmp_path.glob("out/**/last-*.json")
    assert checkpoint.stem == "last-00000004"
    assert status("run", "--resume", "--output", checkpoint.parents[1]) == 0
