"""Every operation on a run's files made to fail once: one line each, and nothing saved is lost.

``python tests/fuzz/failing_disk.py`` counts the operations of starting, resuming, loading and
reporting a small run, lets each of them fail once with an error of the system, and fails on
anything but a result or one line, and where a run cannot go on afterwards as if nothing had been.
"""

import argparse
import errno
import io
import os
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.tiny import TinyPlugins, content, start, tiny_config

from mtl_framework.comparisons.find import find
from mtl_framework.runs.load import load_run
from mtl_framework.runs.run import Run
from mtl_framework.support.errors import MtlError

BY_PATH = ("stat", "lstat", "listdir", "scandir", "mkdir", "unlink", "replace", "open", "chmod")
BY_HANDLE = ("fsync", "fstat", "write", "ftruncate")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES)


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


def uses() -> dict[str, Callable[[Path], object]]:
    """What is done with a folder, by name; all but ``start`` with a run in it."""

    def resume(folder: Path) -> object:
        config = tiny_config("soft", iterations=3, eval_every=2)
        return Run.start(config, TinyPlugins(), folder, resume=True).execute()

    return {
        "start": lambda folder: start(folder, iterations=2, eval_every=2).execute(),
        "resume": resume,
        "load": lambda folder: load_run(folder, plugins=TinyPlugins()),
        "report": lambda folder: find([folder]),
    }


def fail_each(every: int = 1, code: int = errno.EIO) -> tuple[Counter[str], list[str]]:
    """Let every ``every``-th operation fail; returns what happened how often, and faults."""
    torch.set_num_threads(1)
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        base, whole = Path(name) / "base", Path(name) / "whole"
        start(base, iterations=2, eval_every=2).execute()
        start(whole, iterations=3, eval_every=2).execute()
        expected = trained(whole)
        for what, use in uses().items():
            folder = Path(name) / "r"

            def fresh(what: str = what, folder: Path = folder) -> None:
                shutil.rmtree(folder, ignore_errors=True)
                if what != "start":
                    shutil.copytree(base, folder)

            fresh()
            with Disk(folder, None).watched() as counted:
                use(folder)
            for number in range(0, counted.count, every):
                fresh()
                disk = Disk(folder, number, code)
                try:
                    with disk.watched():
                        use(folder)
                    outcomes[f"{what}: done"] += 1
                except MtlError as error:
                    if len(str(error).splitlines()) == 1:
                        outcomes[f"{what}: one line"] += 1
                    else:
                        faults.append(f"{what}, {disk.failed}: several lines: {error}")
                except Exception:
                    faults.append(f"{what}, {disk.failed}: {traceback.format_exc(limit=-6)}")
                faults += lost(what, folder, expected, disk)
    return outcomes, faults


def trained(folder: Path) -> dict[str, Any]:
    """Everything that a run has found, but not for how many iterations it was once asked."""
    files = content(folder)
    return {
        name: value
        for name, value in files.items()
        if name.endswith((".safetensors", ".jsonl", "result.json"))
    }


def lost(what: str, folder: Path, expected: dict[str, Any], disk: Disk) -> Iterator[str]:
    """What a run that goes on after the failure does not have any more."""
    try:
        if (folder / "config.yaml").is_file():
            start(folder, iterations=3, eval_every=2, resume=True).execute()
        elif what == "start":
            shutil.rmtree(folder, ignore_errors=True)
            return
        files = trained(folder)  # what could not be tidied up may lie there, too
        if {name: files.get(name) for name in expected} != expected:
            yield f"{what}, {disk.failed}: the run that goes on is another one"
    except Exception:
        yield f"{what}, {disk.failed}: it cannot go on: {traceback.format_exc(limit=-3)}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    arguments = parser.parse_args()
    bad = 0
    for code in ERRORS:
        outcomes, faults = fail_each(arguments.every, code)
        print(f"{os.strerror(code)}: {sum(outcomes.values()) + len(faults)} operations")
        for what, number in sorted(outcomes.items()):
            print(f"  {what}: {number}")
        for fault in faults:
            print(f"  {fault}")
        bad += len(faults)
    print(f"{bad} faults")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
