"""``mtl compare`` is done here, from the config to the report."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..networks.result import Result
from ..plugins.manager import Plugins
from ..reports.analysis import Analysis, analyse
from ..reports.command import make_report
from ..reports.tables import print_analyses
from ..runs.records import RunRecord, make_groups
from ..support.alive import alive
from ..support.errors import MtlError
from ..support.terminal import duration
from .config import ComparisonConfig, read_comparison
from .controls import control_cells, without_controls
from .equal_time import cells_at_equal_time, track_pilots
from .execution import Tracked, execute, track
from .files import write_files
from .grid import Cell, python_objects
from .in_process import InProcess
from .one_at_work import one_at_work
from .processes import Executor, LocalProcesses, gpu_groups, machine_threads
from .rehearsal import rehearsed_paces
from .terminal import LiveTable, Variant, estimate, grid_table

#: Gets all cells of a comparison.
Listener = Callable[[Sequence[Tracked]], None]

RUNS = "runs"


@dataclass(frozen=True)
class Resources:
    """These resources run the cells: workers, GPUs or a Ray cluster.

    Args:
        workers: number of cells that run at a time; ``None``: one, or with GPUs as many as these
            have room for.
        gpus_per_run: number of GPUs of each cell, e.g. 1 or 0.5; ``None``: one where the machine
            has GPUs and the config's device allows them; 0: none.
        ray: address of a Ray cluster; ``auto``: the one that is running, or a new one on this
            machine; ``None``: processes of this machine.
    """

    workers: int | None = None
    gpus_per_run: float | None = None
    ray: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The outcome says how a comparison ended.

    Args:
        tracked: every cell with its state.
        analyses: the analysis of every suite and backbone.
        signal: the signal that stopped the comparison before its end; ``None`` if none did.
        page: path of the report; ``None`` where no run is done.
    """

    tracked: tuple[Tracked, ...]
    analyses: tuple[Analysis, ...]
    signal: int | None
    page: Path | None = None

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """Return every run in the form that reports read."""
        return tuple(map(record_of, self.tracked))

    @property
    def failed(self) -> list[Tracked]:
        """Return the cells that failed."""
        return [item for item in self.tracked if item.state == "failed"]


def compare(
    path: Path,
    directory: Path,
    plugins: Plugins,
    resources: Resources,
    out: Console,
    err: Console,
    overrides: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    listen: Listener | None = None,
) -> Outcome:
    """Do the runs that are left of a comparison, then print and write its figures.

    Args:
        path: path of the comparison's YAML file.
        directory: the folder for all files; the runs lie below its folder ``runs``.
        plugins: plugins in which names are looked up.
        resources: workers, GPUs or cluster that run the cells.
        out: console for results.
        err: console for progress.
        overrides: top-level keys of the config that win over the file's.
        dry_run: whether only to print the grid, what is done and an estimate.
        listen: function that gets all cells at the beginning, after changes, and at the end.

    Raises:
        MtlError: on a wrong config or wrong resources, before anything starts; if another
            comparison is at work in the folder; if a file cannot be written.
    """
    with alive(err, f"reading {path}"):
        comparison = read_comparison(path, plugins, overrides)
    return work_through(
        comparison,
        path.stem,
        directory,
        plugins,
        resources,
        out,
        err,
        dry_run=dry_run,
        listen=listen,
    )


def work_through(
    comparison: ComparisonConfig,
    title: str,
    directory: Path,
    plugins: Plugins,
    resources: Resources,
    out: Console,
    err: Console,
    *,
    dry_run: bool = False,
    listen: Listener | None = None,
) -> Outcome:
    """Do the runs that are left of a checked comparison, then print and write its figures.

    Args:
        comparison: the comparison's checked config.
        title: name of the comparison in the report's title.
        directory: the folder for all files; the runs lie below its folder ``runs``.
        plugins: plugins in which names are looked up.
        resources: workers, GPUs or cluster that run the cells.
        out: console for results.
        err: console for progress.
        dry_run: whether only to print the grid, what is done and an estimate.
        listen: function that gets all cells at the beginning, after changes, and at the end.

    Raises:
        MtlError: on wrong resources, before anything starts; if another comparison is at work in
            the folder; if a file cannot be written.
    """
    with alive(err, "looking at what is done"):
        pilots = track_pilots(comparison, directory / RUNS, plugins)
        waits = any(pilot.state != "done" for pilot in pilots)
        tracked = pilots if waits else _track_all(comparison, pilots, directory, plugins)
        make_executor, workers = executor_for(comparison, resources, plugins)
    if dry_run:
        tracked += _track_controls(comparison, tracked, directory, plugins)
        _print_estimate(tracked, workers, plugins, out, err, pilots=waits)
        return Outcome(tuple(tracked), (), None)
    with one_at_work(directory):
        _write(directory, comparison, tracked)
        signal = _work(tracked, tracked, make_executor, err, listen)
        if signal is None and waits:
            tracked = _track_all(comparison, pilots, directory, plugins)
            signal = _work(tracked, tracked, make_executor, err, listen)
        if signal is None:
            controls = _track_controls(comparison, tracked, directory, plugins)
            for name in without_controls(comparison.settings, _finished(tracked), plugins):
                say = f"controls: none of {name}, whose weights are not units as a whole"
                err.print(say, markup=False, soft_wrap=True)
            tracked += controls
            signal = _work(controls, tracked, make_executor, err, listen)
        analyses = _write(directory, comparison, tracked)
    page = None
    if any(item.state == "done" for item in tracked):
        with alive(err, "drawing figures"):
            page = make_report(directory, f"Comparison {title}", analyses, plugins)
    print_analyses(analyses, out)
    if page is not None:
        out.print(f"report: {page}", markup=False, soft_wrap=True)
    return Outcome(tuple(tracked), tuple(analyses), signal, page)


def _print_estimate(
    tracked: Sequence[Tracked],
    workers: int,
    plugins: Plugins,
    out: Console,
    err: Console,
    *,
    pilots: bool,
) -> None:
    out.print(grid_table(tracked, out.width))
    paces = rehearsed_paces(tracked, plugins, err)
    out.print(_estimate_text(tracked, workers, paces), markup=False, soft_wrap=True)
    if pilots:
        out.print("these are pilots: the others' iterations follow from them (seconds)")


def _track_all(
    comparison: ComparisonConfig, pilots: Sequence[Tracked], directory: Path, plugins: Plugins
) -> list[Tracked]:
    return track(cells_at_equal_time(comparison, pilots), directory / RUNS, plugins)


def _work(
    items: Sequence[Tracked],
    shown: Sequence[Tracked],
    make_executor: Callable[[], Executor],
    err: Console,
    listen: Listener | None,
) -> int | None:
    """Do the runs that are left of ``items``, while the table shows the cells of ``shown``."""

    def tell() -> None:
        if listen is not None:
            listen(shown)

    def show() -> None:
        table.show()
        tell()

    tell()
    if all(item.state == "done" for item in items):
        return None
    with LiveTable(err, shown) as table:
        return execute(items, make_executor(), show)


def _track_controls(
    comparison: ComparisonConfig, tracked: Sequence[Tracked], directory: Path, plugins: Plugins
) -> list[Tracked]:
    cells = control_cells(comparison.settings, _finished(tracked), plugins)
    return track(cells, directory / RUNS, plugins)


def _finished(tracked: Sequence[Tracked]) -> list[tuple[Cell, Result]]:
    return [(t.cell, t.status.result) for t in tracked if t.status.result is not None]


def _write(
    directory: Path, comparison: ComparisonConfig, tracked: Sequence[Tracked]
) -> list[Analysis]:
    settings = comparison.settings
    records = [record_of(item) for item in tracked]
    analyses = [
        analyse(group, settings.baseline, settings.significance, settings.select)
        for group in make_groups(records)
    ]
    plain = _shown(settings.model_dump(mode="json"))
    write_files(directory, plain, records, analyses)
    return analyses


def record_of(item: Tracked) -> RunRecord:
    """Return a cell in the form that reports read."""
    return RunRecord(
        strategy=item.cell.strategy,
        suite=item.cell.suite,
        backbone=item.cell.backbone,
        seed=item.cell.seed,
        directory=item.folder,
        iterations=item.cell.config.iterations,
        state=item.status.state,
        result=item.status.result,
        error=item.status.error,
        control=item.cell.control,
    )


def _shown(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings that say how the figures were made."""
    return {key: settings[key] for key in ("baseline", "significance", "select")}


def executor_for(
    comparison: ComparisonConfig, resources: Resources, plugins: Plugins
) -> tuple[Callable[[], Executor], int]:
    """Return a function that makes the executor, and how many cells it runs at a time.

    Args:
        comparison: the runs; the config of the first one says which device they want.
        resources: workers, GPUs or cluster that run the cells.
        plugins: plugins in which names are looked up.

    Raises:
        MtlError: naming the option whose resources there are not.
    """
    workers, threads = resources.workers, machine_threads()
    if workers is not None and workers < 1:
        raise MtlError(f"--workers should be at least 1, found {workers}")
    given = python_objects(comparison)
    if given and (resources.ray is not None or (workers or 1) > 1):
        raise MtlError(
            f"{given[0]} is a Python object, which other processes do not have: leave out workers "
            "and ray, so that its runs are done here one after another; or make it a plugin"
        )
    if given:
        return (lambda: InProcess(plugins, threads)), 1
    gpus, per_run = _gpus(comparison, resources)
    if resources.ray is not None:
        from .on_ray import RayTasks

        address, each = resources.ray, max(1, threads // (workers or 1))
        return (lambda: RayTasks(address, each, per_run)), workers or 1
    devices = None
    if per_run:
        devices = gpu_groups(gpus, per_run)
        workers = workers or len(devices)
        if workers > len(devices):
            raise MtlError(
                f"--workers is {workers}, but {len(gpus)} GPUs have room for {len(devices)} runs "
                f"with --gpus-per-run {per_run:g}"
            )
    elif gpus:
        devices = [()] * (workers or 1)  # none of the GPUs may be touched
    workers = workers or 1
    return (lambda: LocalProcesses(workers, max(1, threads // workers), devices)), workers


def _gpus(comparison: ComparisonConfig, resources: Resources) -> tuple[list[str], float]:
    """Return the names of the machine's GPUs, and how many each cell gets."""
    if resources.gpus_per_run is not None and resources.gpus_per_run < 0:
        raise MtlError(f"--gpus-per-run should be at least 0, found {resources.gpus_per_run:g}")
    import torch

    device = comparison.variants[0].config.device
    found = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",")[:found] if visible else [str(n) for n in range(found)]
    wanted = resources.gpus_per_run
    if wanted is None:
        wanted = 1.0 if names and device in ("auto", "cuda") and resources.ray is None else 0.0
    return names, wanted


def _estimate_text(tracked: Sequence[Tracked], workers: int, paces: Mapping[Variant, float]) -> str:
    left = sum(item.state != "done" for item in tracked)
    if not left:
        return "nothing is left to run"
    seconds, unknown = estimate(tracked, workers, paces)
    if seconds is None:
        return f"{left} runs are left; their time is not known before one has begun"
    text = f"{left} runs are left: about {duration(seconds)} with {workers} at a time"
    return text + (f", and {unknown} runs of unknown length" if unknown else "")
