"""``mtl compare`` is done here, from the config to the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..plugins.manager import Plugins
from ..reports.analysis import Analysis, analyse
from ..reports.command import make_report
from ..reports.tables import print_analyses
from ..runs.records import RunRecord, make_groups
from ..support.alive import alive
from ..support.errors import UnknownNameError
from ..support.terminal import duration
from .config import ComparisonConfig, read_comparison
from .equal_time import check_pilots
from .execution import Tracked, execute
from .files import write_files
from .known import KnownCells
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
        known = KnownCells(comparison, directory / RUNS, plugins, only)
        make_executor, workers = executor_for(comparison, resources, plugins)
    if dry_run:
        shown = known.chosen(known.everything())
        _print_estimate(shown, workers, plugins, out, err, pilots=bool(known.waiting()))
        return Outcome(tuple(known.everything()), (), None)
    with one_at_work(directory):
        _write(directory, comparison, known.everything())
        signal = _work_on(known, make_executor, err, listen)
        analyses = _write(directory, comparison, known.everything())
    tracked = known.everything()
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


def _work_on(
    known: KnownCells, make_executor: Callable[[], Executor], err: Console, listen: Listener | None
) -> int | None:
    """Do what is left of the pilots, then of the cells, then of the controls."""

    def work(items: Sequence[Tracked]) -> int | None:
        return _work(known.chosen(items), known, make_executor, err, listen)

    signal = work(known.waiting())
    known.find()
    if signal is None:
        check_pilots(known.chosen(known.waiting()))
        signal = work(known.cells)
        known.find_controls()
    if signal is None:
        for name, kinds in known.unsuited().items():
            kind = " and no ".join(kinds)
            say = f"controls: no {kind} of {name}, which assigns other weights than whole units"
            err.print(say, markup=False, soft_wrap=True)
        signal = work(known.controls)
    return signal


def _work(
    items: Sequence[Tracked],
    known: KnownCells,
    make_executor: Callable[[], Executor],
    err: Console,
    listen: Listener | None,
) -> int | None:
    """Do the runs that are left of ``items``, while the table shows all that are to be done."""

    def tell() -> None:
        if listen is not None:
            listen(known.everything())

    def show() -> None:
        table.show()
        tell()

    tell()
    if all(item.state == "done" for item in items):
        return None
    with LiveTable(err, known.chosen(known.everything())) as table:
        return execute(items, make_executor(), show)


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
