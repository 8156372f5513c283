"""``mtl compare`` is done here, from the config to the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from ..support.errors import UnknownNameError
from ..support.terminal import duration
from .config import ComparisonConfig, read_comparison
from .controls import control_cells, without_controls
from .equal_time import cells_at_equal_time, track_pilots
from .execution import Tracked, execute, track
from .files import write_files
from .grid import Cell
from .one_at_work import one_at_work
from .processes import Executor
from .rehearsal import rehearsed_paces
from .resources import Resources, executor_for
from .terminal import LiveTable, Variant, estimate, grid_table

#: Gets all cells of a comparison.
Listener = Callable[[Sequence[Tracked]], None]

RUNS = "runs"


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
    only: Sequence[str] = (),
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
        only: strategies, by their names in the comparison, whose runs are done; the others stay
            as they are. None: all.

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
        only=only,
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
    only: Sequence[str] = (),
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
        only: strategies whose runs are done, as in :func:`compare`.

    Raises:
        MtlError: on wrong resources or an unknown name in ``only``, before anything starts; if
            another comparison is at work in the folder; if a file cannot be written.
    """
    _check_names(comparison, only)
    with alive(err, "looking at what is done"):
        pilots = track_pilots(comparison, directory / RUNS, plugins)
        comparison, pilots = _with_known_pace(comparison, pilots, only)
        waits = any(pilot.state != "done" for pilot in pilots)
        tracked = pilots if waits else _track_all(comparison, pilots, directory, plugins)
        make_executor, workers = executor_for(comparison, resources, plugins)
    if dry_run:
        tracked += _track_controls(comparison, tracked, directory, plugins)
        _print_estimate(_chosen(tracked, only), workers, plugins, out, err, pilots=waits)
        return Outcome(tuple(tracked), (), None)
    with one_at_work(directory):
        _write(directory, comparison, tracked)
        signal = _work(_chosen(tracked, only), tracked, make_executor, err, listen)
        if signal is None and waits:
            tracked = _track_all(comparison, pilots, directory, plugins)
            signal = _work(_chosen(tracked, only), tracked, make_executor, err, listen)
        if signal is None:
            _say_without_controls(comparison, tracked, plugins, err)
            controls = _track_controls(comparison, tracked, directory, plugins)
            tracked += controls
            signal = _work(_chosen(controls, only), tracked, make_executor, err, listen)
        analyses = _write(directory, comparison, tracked)
    page = None
    if any(item.state == "done" for item in tracked):
        with alive(err, "drawing figures"):
            page = make_report(directory, f"Comparison {title}", analyses, plugins)
    _print_outcome(analyses, page, out)
    return Outcome(tuple(tracked), tuple(analyses), signal, page)


def _print_outcome(analyses: Sequence[Analysis], page: Path | None, out: Console) -> None:
    print_analyses(analyses, out)
    if page is not None:
        out.print(f"report: {page}", markup=False, soft_wrap=True)


def _check_names(comparison: ComparisonConfig, only: Sequence[str]) -> None:
    known = dict.fromkeys(variant.strategy for variant in comparison.variants)
    for name in only:
        if name not in known:
            raise UnknownNameError("strategy of this comparison", name, known)


def _with_known_pace(
    comparison: ComparisonConfig, pilots: list[Tracked], only: Sequence[str]
) -> tuple[ComparisonConfig, list[Tracked]]:
    """Leave out what has no pilot and gets none now: nobody knows how long its runs should be."""
    if not pilots or not only:
        return comparison, pilots
    kept = [
        (variant, pilot)
        for variant, pilot in zip(comparison.variants, pilots, strict=True)
        if pilot.state == "done" or variant.strategy in only
    ]
    variants = tuple(variant for variant, _ in kept)
    return replace(comparison, variants=variants), [pilot for _, pilot in kept]


def _chosen(tracked: Sequence[Tracked], only: Sequence[str]) -> list[Tracked]:
    """Return the cells of these strategies, and their controls; no names: all."""

    def strategy(cell: Cell) -> str:
        return cell.strategy if cell.control is None else cell.control.of

    return [item for item in tracked if not only or strategy(item.cell) in only]


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


def _say_without_controls(
    comparison: ComparisonConfig, tracked: Sequence[Tracked], plugins: Plugins, err: Console
) -> None:
    for name in without_controls(comparison.settings, _finished(tracked), plugins):
        say = f"controls: none of {name}, whose weights are not units as a whole"
        err.print(say, markup=False, soft_wrap=True)


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


def _estimate_text(tracked: Sequence[Tracked], workers: int, paces: Mapping[Variant, float]) -> str:
    left = sum(item.state != "done" for item in tracked)
    if not left:
        return "nothing is left to run"
    seconds, unknown = estimate(tracked, workers, paces)
    if seconds is None:
        return f"{left} runs are left; their time is not known before one has begun"
    text = f"{left} runs are left: about {duration(seconds)} with {workers} at a time"
    return text + (f", and {unknown} runs of unknown length" if unknown else "")
