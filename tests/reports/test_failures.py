"""Failed runs by cause, with what helps first."""

from pathlib import Path

import pytest

from mtl_framework.reports.failures import failure_lines
from mtl_framework.runs.records import RunRecord


def failed(number: int, error: str) -> RunRecord:
    folder = Path(f"/c/runs/r{number}")
    return RunRecord("s", "digits", "b", number, folder, 10, "failed", error=error)


def test_many_runs_with_few_causes_take_few_lines() -> None:
    done = [RunRecord("s", "digits", "b", 99, Path("/c/runs/r99"), 10, "waiting")]
    missing = [failed(n, "there is no folder /nowhere") for n in range(7)]
    unwritable = [failed(n, f"cannot write /c/runs/r{n}/metrics.jsonl: why") for n in (7, 8)]
    first, *causes = failure_lines([*done, *unwritable, *missing])
    assert first.startswith("9 of 10 runs: put right what comes first, then give the same")
    assert causes == [
        "7 times: there is no folder /nowhere: /c/runs/r0, /c/runs/r1, /c/runs/r2 and 4 more",
        "2 times: cannot write its folder/metrics.jsonl: why: /c/runs/r7, /c/runs/r8",
    ]
    assert failure_lines(done) == []


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("the process was ended by SIGKILL (out of memory?)", "--workers"),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "memory_budget"),
        ("the loss of task 'a' is nan at iteration 7", "lower the learning rate"),
        ("parameter conv.weight is not finite at iteration 3", "lower the learning rate"),
        ("cannot write /tmp/a: No space left on device", "make room"),
    ],
)
def test_the_most_frequent_cause_decides_which_remedy_leads(error: str, remedy: str) -> None:
    lines = failure_lines([failed(1, error), failed(2, error), failed(3, "something rare")])
    assert remedy in lines[0]
    assert len(lines) == 3
