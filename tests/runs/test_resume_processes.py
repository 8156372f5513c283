"""Real processes that are killed or get a signal go on later."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny import start

TESTS = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}


@pytest.mark.parametrize(
    ("strategy", "stride"),
    [
        *(pytest.param("soft", stride, marks=pytest.mark.long) for stride in ("97", "31")),
        pytest.param("learned", "97", marks=pytest.mark.long),
        *(pytest.param(*p, marks=pytest.mark.slow) for p in (("soft", "1"), ("learned", "9"))),
    ],
)
def test_kill_9_anywhere_in_its_writing_changes_nothing(
    tmp_path: Path, strategy: str, stride: str
) -> None:
    program = str(TESTS / "support" / "kill_everywhere.py")
    done = subprocess.run(
        [sys.executable, program, str(tmp_path), strategy, stride, "4"],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60


SLOW_RUN = """
import sys, time
from pathlib import Path
import torch
from support.tiny import TinyPlugins, start
from mtl_framework.runs.run import Interrupted

torch.set_num_threads(1)

class Slow(TinyPlugins):
    def notify(self, hook, **values):
        super().notify(hook, **values)
        if hook == "mtl_step":
            print("step", flush=True)
            time.sleep(0.05)

try:
    start(Path(sys.argv[1]), Slow(), iterations=1000).execute()
except Interrupted as error:
    print(error)
    sys.exit(128 + error.signal)
"""


@pytest.mark.parametrize(
    "number",
    [
        *(pytest.param(n, marks=pytest.mark.long) for n in (signal.SIGINT, signal.SIGTERM)),
        signal.SIGKILL,
    ],
)
def test_a_process_that_gets_a_signal_goes_on_later(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", SLOW_RUN, str(tmp_path / "r")]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "step\n"
        process.send_signal(number)
        said = process.stdout.read()
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert f"go on with: mtl run --resume --output {tmp_path / 'r'}" in said
        assert not (tmp_path / "r" / "result.json").exists()
    run = start(tmp_path / "r", resume=True, iterations=1000)
    assert run.iteration >= 2
