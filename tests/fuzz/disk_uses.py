"""What is done with folders while operations on their files fail, and what must be there then."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from support.exported_runs import run_shapes, shapes_plugins
from support.tiny import Soft, TinyPlugins, content, start, tiny_config, tiny_suite

from fuzz.failing_disk import Use
from mtl_framework import compare
from mtl_framework.comparisons.find import find
from mtl_framework.export import export_all, export_network, load_bundle, load_network
from mtl_framework.reports.command import make_report
from mtl_framework.runs.load import load_run
from mtl_framework.runs.run import Run


class Alone(Soft):
    """A class that has no name for other processes: its comparison works in this one."""


def _nothing(folder: Path) -> None:
    """A folder that is not there before."""


def _run(folder: Path, iterations: int = 2, **options: Any) -> None:
    start(folder, iterations=iterations, eval_every=2, **options).execute()


def _resume(folder: Path) -> None:
    config = tiny_config("soft", iterations=3, eval_every=2)
    Run.start(config, TinyPlugins(), folder, resume=True).execute()


def _trained(folder: Path) -> dict[str, Any]:
    """Everything that a run has learned, but not for how many iterations it was once asked."""
    return {
        name: value
        for name, value in content(folder).items()
        if name.endswith((".safetensors", ".jsonl", "result.json"))
    }


class _LongerRun:
    """A run goes on to the same numbers, whatever failed before."""

    def __init__(self) -> None:
        self._expected: dict[str, Any] = {}

    def __call__(self, folder: Path) -> Iterator[str]:
        if not self._expected:
            whole = folder.with_name("whole")
            _run(whole, 3)
            self._expected = _trained(whole)
            shutil.rmtree(whole)
        _run(folder, 3, resume=(folder / "config.yaml").is_file())
        files = _trained(folder)  # what could not be tidied up may lie there, too
        if {name: files.get(name) for name in self._expected} != self._expected:
            yield "the run that goes on is another one"


def _report(folder: Path) -> None:
    found = find([folder])
    make_report(folder / "report", "title", found.analyses, TinyPlugins(), found.left_out)


def _compare(folder: Path, seeds: int = 2) -> None:
    compare(
        suite=tiny_suite(), backbone="tiny", strategies=[Alone], seeds=seeds, iterations=2,
        eval_every=2, batch_size=8, device="cpu", progress=False, output=folder,
        plugins=TinyPlugins(),
    )  # fmt: skip


class _WholeComparison:
    """A comparison ends as if nothing had been; what was done before has not been run again."""

    def __init__(self) -> None:
        self._expected: dict[str, Any] = {}

    def __call__(self, folder: Path) -> Iterator[str]:
        if not self._expected:
            whole = folder.with_name("whole")
            _compare(whole)
            self._expected = self._content(whole)
            shutil.rmtree(whole)
        done = folder.with_name("base").glob("runs/*/result.json")
        before = {file.relative_to(folder.with_name("base")): file.read_bytes() for file in done}
        if any((folder / file).read_bytes() != text for file, text in before.items()):
            yield "a finished run was done again"
        _compare(folder)
        if self._content(folder) != self._expected:
            yield "the comparison is another one"
        if not (folder / "report.html").is_file():
            yield "there is no report"

    def _content(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((folder / "comparison.json").read_text())
        del found["measured"]
        return found


def _exported_run(folder: Path) -> None:
    run_shapes(folder / "run")
    for export in EXPORTS.values():
        export(folder)


def _export(every: bool, folder: Path) -> None:
    loaded = load_run(folder / "run", plugins=shapes_plugins())
    if every:
        export_all(loaded, folder / "all")
    else:
        export_network(loaded, 0, folder / "one")


EXPORTS = {"export": partial(_export, False), "export all": partial(_export, True)}


def _exports(folder: Path) -> Iterator[str]:
    """An earlier export is still whole, and it can be exported again."""
    for _ in range(2):
        load_network(folder / "one")
        bundle = load_bundle(folder / "all")
        for task in bundle.tasks:
            bundle.network(task)
        if left := [path for path in folder.rglob(".*.tmp") if path.is_file()]:
            yield f"{left[0].name} was left"
        for export in EXPORTS.values():
            export(folder)


def _program(folder: Path) -> None:
    """Stands for both formats of programs."""
    from mtl_framework.export import export_program

    export_program(load_run(folder / "run", plugins=shapes_plugins()), 0, folder / "program")


def _again(do: Callable[[Path], None], folder: Path) -> Iterator[str]:
    """It can be done afterwards."""
    do(folder)
    yield from ()


def _load(folder: Path) -> None:
    load_run(folder, plugins=TinyPlugins())


_longer, _whole = _LongerRun(), _WholeComparison()
USES = {
    "start": Use(_nothing, _run, _longer),
    "resume": Use(_run, _resume, _longer),
    "load": Use(_run, _load, _longer),
    "report": Use(_run, _report, partial(_again, _report)),
    "compare": Use(_nothing, _compare, _whole),
    "go on comparing": Use(partial(_compare, seeds=1), _compare, _whole),
    **{name: Use(_exported_run, export, _exports) for name, export in EXPORTS.items()},
    "export a program": Use(_exported_run, _program, partial(_again, _program)),
}
