"""Threads of numerical libraries wait for each other in a way that suits what else is running."""

import os
import time
from pathlib import Path
from statistics import median

#: What Linux says of the moment: its fourth word is "runnable/all" processes and threads.
LOAD = Path("/proc/loadavg")
#: How much processor time a container may use, and in how long: microseconds, or "max".
QUOTA = Path("/sys/fs/cgroup/cpu.max")
_LOOKS, _BETWEEN = 5, 0.001  # seconds


def set_thread_waiting() -> None:
    """Let OpenMP threads that wait give up their processor soon, unless the user has decided.

    Every operation of torch on several threads ends with a wait for the slowest one. By default a
    thread that waits spins; where another program holds one of the processors, it spins until that
    program is put aside. To fall asleep and to be woken takes longer than many operations do, so
    where nothing else runs, threads spin for some 20 microseconds before they fall asleep
    (``GOMP_SPINCOUNT``, of GNU's OpenMP, which torch has on Linux). OpenMP reads the environment
    when torch is imported: call this before.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if is_idle():
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def is_idle() -> bool:
    """Say whether hardly another program runs, and this one may have all processors; Linux only."""
    try:
        processors = len(os.sched_getaffinity(0))
        counts = []
        for _ in range(_LOOKS):
            counts.append(int(LOAD.read_text().split()[3].split("/")[0]))
            time.sleep(_BETWEEN)
    except (AttributeError, OSError, IndexError, ValueError):
        return False
    others = median(counts) - 1  # without this process, which looks
    return others <= processors // 8 and _allowed() >= processors


def _allowed() -> float:
    """Return how many processors' time a container has."""
    try:
        quota, period = QUOTA.read_text().split()
        return float("inf") if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return float("inf")
