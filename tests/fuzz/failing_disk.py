"""Every operation on files made to fail once: one line each, and nothing saved is lost.

``python tests/fuzz/failing_disk.py`` counts the file operations of everything in
:mod:`fuzz.disk_uses`, lets each of them fail once with an error of the system, and fails on
anything but a result or one line, and where things cannot go on afterwards as if nothing had been.
Each outcome is a line of a log, so that the command goes on where it was stopped.
"""

import argparse
import errno
import io
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mtl_framework.support.errors import MtlError

BY_PATH = ("stat", "lstat", "listdir", "scandir", "mkdir", "unlink", "replace", "open", "chmod")
BY_HANDLE = ("fsync", "fstat", "write", "ftruncate")
ERRORS = ("EIO", "ENOSPC", "EACCES")


class Disk:
    """Counts the operations below a folder, and lets one of them fail."""

    def __init__(self, folder: Path, failing: int | None, code: int = errno.EIO) -> None:
        self.folder, self.failing, self.code = str(folder), failing, code
        self.count = 0
        self.failed: str | None = None

    def meet(self, name: str, what: object) -> None:
        """An operation; raises where it is the one to fail."""
        if self.count == self.failing:
            self.failed = f"{name} {what}"
            self.count += 1
            raise OSError(self.code, os.strerror(self.code), str(what))
        self.count += 1

    @contextmanager
    def watched(self) -> Iterator["Disk"]:
        """Watch inside."""
        before: list[tuple[Any, str, Any]] = []
        handles: set[int] = set()

        def by_path(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(path: Any, *arguments: Any, **named: Any) -> Any:
                mine = isinstance(path, str | os.PathLike) and str(path).startswith(self.folder)
                if mine:
                    self.meet(name, path)
                result = function(path, *arguments, **named)
                if mine and name == "open":
                    handles.add(result)
                return result

            return call

        def by_handle(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(handle: Any, *arguments: Any) -> Any:
                if handle in handles:
                    self.meet(name, handle)
                return function(handle, *arguments)

            return call

        try:
            for name in BY_PATH:
                before.append((os, name, getattr(os, name)))
                setattr(os, name, by_path(name, getattr(os, name)))
            for name in BY_HANDLE:
                before.append((os, name, getattr(os, name)))
                setattr(os, name, by_handle(name, getattr(os, name)))
            before.append((io, "open", io.open))
            io.open = by_path("read", io.open)
            yield self
        finally:
            for module, name, function in reversed(before):
                setattr(module, name, function)


@dataclass(frozen=True)
class Use:
    """Something that is done with a folder.

    Args:
        prepare: fills the folder, which is not there before.
        do: is done while operations fail.
        lost: says what is not there any more afterwards, or cannot be done.
    """

    prepare: Callable[[Path], object]
    do: Callable[[Path], object]
    lost: Callable[[Path], Iterator[str]]


@dataclass(frozen=True)
class Outcome:
    """What came of one operation that failed.

    Args:
        case: number of the operation.
        count: number of all operations.
        outcome: ``done``, ``one line`` or ``fault``.
        faults: what is wrong; none where nothing is.
    """

    case: int
    count: int
    outcome: str
    faults: tuple[str, ...] = ()


def each_failing(
    use: Use,
    every: int = 1,
    code: int = errno.EIO,
    first: int = 0,
    known: Collection[int] = (),
) -> Iterator[Outcome]:
    """Let every ``every``-th operation of a use fail, but for the known ones."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        base, folder = Path(name) / "base", Path(name) / "r"
        use.prepare(base)

        def fresh() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            if base.exists():
                shutil.copytree(base, folder)

        fresh()
        with Disk(folder, None).watched() as counted:
            use.do(folder)
        for number in range(first, counted.count, every):
            if number in known:
                continue
            fresh()
            outcome, faults = _fail_one(use, folder, Disk(folder, number, code))
            yield Outcome(number, counted.count, outcome, tuple(faults))


def _fail_one(use: Use, folder: Path, disk: Disk) -> tuple[str, list[str]]:
    faults: list[str] = []
    outcome = "done"
    try:
        with disk.watched():
            use.do(folder)
    except MtlError as error:
        outcome = "one line"
        if len(str(error).splitlines()) != 1:
            faults.append(f"{disk.failed}: several lines: {error}")
    except Exception:
        faults.append(f"{disk.failed}: {traceback.format_exc(limit=-6)}")
    try:
        faults += [f"{disk.failed}: {text}" for text in use.lost(folder)]
    except Exception:
        faults.append(f"{disk.failed}: it cannot go on: {traceback.format_exc(limit=-3)}")
    return "fault" if faults else outcome, faults


def fail_each(
    use: Use, every: int = 1, code: int = errno.EIO, first: int = 0
) -> tuple[Counter[str], list[str]]:
    """Let every ``every``-th operation of a use fail; returns what came of them, and faults."""
    tried = list(each_failing(use, every, code, first))
    return Counter(o.outcome for o in tried), [fault for o in tried for fault in o.faults]


class Log:
    """Outcomes of earlier calls and of this one, a line of JSON each.

    Args:
        path: the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.entries: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def add(self, use: str, error: str, outcome: Outcome) -> None:
        """Write one."""
        entry = {"use": use, "error": error, **vars(outcome), "faults": list(outcome.faults)}
        self.entries.append(entry)
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def of(self, use: str, error: str) -> list[dict[str, Any]]:
        """Return those of a use and an error."""
        return [e for e in self.entries if (e["use"], e["error"]) == (use, error)]


def main() -> None:
    """Run from the command line."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from fuzz.disk_uses import USES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uses", nargs="*", help=f"of {', '.join(USES)}; default: all")
    parser.add_argument("--every", type=int, default=1, help="operation, of those that are counted")
    parser.add_argument("--first", type=int, default=0, help="operation that fails")
    parser.add_argument("--error", choices=ERRORS, action="append", help="default: all")
    parser.add_argument("--minutes", type=float, help="after which no further operation is tried")
    parser.add_argument("--log", type=Path, default=Path("build/fuzz/failing_disk.jsonl"))
    arguments = parser.parse_args()
    log, begin = Log(arguments.log), time.monotonic()
    most = float("inf") if arguments.minutes is None else arguments.minutes * 60
    pairs = [(n, e) for e in arguments.error or ERRORS for n in arguments.uses or USES]
    for name, error in pairs:
        known = {entry["case"] for entry in log.of(name, error)}
        code = getattr(errno, error)
        tried = each_failing(USES[name], arguments.every, code, arguments.first, known)
        while time.monotonic() - begin < most and (outcome := next(tried, None)) is not None:
            log.add(name, error, outcome)
    bad = 0
    for name, error in pairs:
        entries = log.of(name, error)
        counts = Counter(entry["outcome"] for entry in entries)
        text = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
        total = entries[0]["count"] if entries else "?"
        reason = os.strerror(getattr(errno, error))
        print(f"{name}, {reason}: {len(entries)} of {total} operations: {text or 'none'}")
        for fault in (fault for entry in entries for fault in entry["faults"]):
            print(f"  {fault}")
            bad += 1
    print(f"{bad} faults")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
