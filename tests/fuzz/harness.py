"""What all parts of the fuzzing program have in common: seeded cases, outcomes, a watchdog.

A part tries case after case, each with a generator of its own, so that any case can be repeated by
its number. An outcome is a short text; whatever is raised but ``FaultError`` is a traceback. From
the command line the cases run in a process that another one watches: it may use ten seconds of work
for a case and 2 GiB of memory, and may start no program (watch.py).
"""

import json
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Protocol

import torch

SECONDS = 10.0  # of work for a case
MEMORY = 2 * 2**30  # bytes, beyond what the process needs for itself
PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen")


class FaultError(Exception):
    """Something that must not happen, in words."""


class Part(Protocol):
    """One kind of bad input."""

    def __init__(self, folder: Path) -> None:
        """Make what cases start from, in an empty folder."""

    def attempt(self, number: int, generator: random.Random, folder: Path) -> str:
        """Try one case in an empty folder; returns what it led to.

        Raises:
            FaultError: where that must not be.
        """


def attempt(part: Part, number: int, seed: int, folder: Path) -> tuple[str, str | None]:
    """Outcome of a case, and what is wrong with it."""
    folder.mkdir()
    begin = time.process_time()  # the machine may have other things to do
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said), _programs_refused():
            outcome = part.attempt(number, random.Random(f"{seed} {number}"), folder)
    except FaultError as error:
        return "fault", str(error)
    except BaseException:
        return "fault", traceback.format_exc()
    seconds = time.process_time() - begin
    return (outcome, None) if seconds < SECONDS else ("fault", f"took {seconds:.0f} s ({outcome})")


def attempt_all(kind: type[Part], count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try the first cases of a seed in this process: how often what happened, and the faults."""
    torch.set_num_threads(1)
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        part = kind(_made(Path(name) / "base"))
        for number in range(count):
            outcome, wrong = attempt(part, number, seed, Path(name) / f"case{number}")
            outcomes[outcome] += 1
            if wrong is not None:
                faults.append(f"case {number} of seed {seed}: {wrong}")
    return outcomes, faults


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# -- programs ------------------------------------------------------------------------------------

_refusing = False


def _audit(event: str, arguments: object) -> None:
    if _refusing and event in PROGRAMS:
        raise FaultError(f"code was executed: {event} {arguments!r}")


@contextmanager
def _programs_refused() -> Iterator[None]:
    global _refusing
    if not getattr(sys, "_mtl_fuzz_audit", False):
        sys.addaudithook(_audit)  # stays for the life of the process
        sys._mtl_fuzz_audit = True  # type: ignore[attr-defined]
    _refusing = True
    try:
        yield
    finally:
        _refusing = False


# -- a watched process ---------------------------------------------------------------------------


def work(kind: type[Part], first: int, count: int, seed: int, log: Path) -> None:
    """Try cases in this process, within the bounds, and note every outcome."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, log.open("a", encoding="utf-8") as lines:
        part = kind(_made(Path(name) / "base"))
        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, used + MEMORY))
        for number in range(first, count):
            outcome, wrong = attempt(part, number, seed, Path(name) / f"case{number}")
            entry = {"case": number, "outcome": outcome, **({"fault": wrong} if wrong else {})}
            lines.write(json.dumps(entry) + "\n")
            lines.flush()
            shutil.rmtree(Path(name) / f"case{number}", ignore_errors=True)
