"""Have cases tried in a process of their own, which may hang or die; the outcomes are in a file.

An interrupted part goes on from that file. This module imports nothing large.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SECONDS = 10.0  # of work for a case
_START = 240.0  # of work before the first case
_STUCK = 900.0  # seconds of waiting without work


def watch(part: str, count: int, seed: int, log: Path) -> list[dict[str, str]]:
    """Have all cases tried that the log does not have yet; returns all entries."""
    log.parent.mkdir(parents=True, exist_ok=True)
    while (first := len(entries(log))) < count:
        command = [sys.executable, str(Path(__file__).parent), "--work", part]
        options = [f"--first={first}", f"--count={count}", f"--seed={seed}", f"--log={log}"]
        process = subprocess.Popen([*command, *options])
        try:
            why = _wait(process, log)
        finally:
            process.kill()
            process.wait()
        if why is not None:
            number = len(entries(log))
            with log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"case": number, "outcome": "fault", "fault": why}) + "\n")
    return entries(log)


def entries(log: Path) -> list[dict[str, str]]:
    """What the log holds."""
    if not log.exists():
        return []
    lines = log.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> str | None:
    """Why a process has not tried all cases; ``None`` if it has."""
    seen, since, began, started = -1, 0.0, 0.0, False
    while process.poll() is None:
        size = log.stat().st_size if log.exists() else 0
        if size != seen:
            started = started or seen >= 0
            seen, since, began = size, _seconds_of_work(process.pid), time.monotonic()
        limit = 2 * SECONDS if started else _START
        if _seconds_of_work(process.pid) - since > limit:
            return f"worked for more than {limit:.0f} s"
        if time.monotonic() - began > _STUCK:
            return f"waited for {_STUCK:.0f} s"
        time.sleep(0.5)
    return f"the process ended with status {process.returncode}" if process.returncode else None


def _seconds_of_work(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
