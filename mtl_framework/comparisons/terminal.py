"""The terminal shows a comparison: its grid, its progress, and the table at the end."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..data.metrics.shown import shown_value
from ..networks.evaluation import split_text
from ..networks.result import Result
from ..support.causes import find_causes
from ..support.terminal import Column, duration, fitted_table
from .execution import Tracked

Variant = tuple[str, str, str]  # what the comparison calls strategy, suite and backbone
_ORDER = ("running", "failed", "stopped", "waiting", "done")
_STYLES = {"running": "cyan", "failed": "bold red", "stopped": "yellow", "done": "green"}
_BAR = 12  # characters
_BESIDE = 5  # lines of header, rule and summary


class LiveTable:
    """This table of all cells is redrawn; without a terminal each ended cell is one line.

    The object is a context manager; :meth:`show` reads the cells again.
    """

    def __init__(self, console: Console, tracked: Sequence[Tracked]) -> None:
        self._console = console
        self._tracked = tracked
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )
        self._told = {id(item) for item in tracked if item.state == "done"}
        self._failed: list[tuple[str, str]] = []

    def __enter__(self) -> "LiveTable":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self) -> None:
        """Draw the state of all cells as it is now."""
        if self._live is not None:
            rows = max(3, self._console.height - _BESIDE)
            self._live.update(grid_table(self._tracked, self._console.width, rows), refresh=True)
            return
        for item in self._tracked:
            ended = not item.running and item.state in ("done", "failed")
            if item.running:
                self._told.discard(id(item))
            elif ended and id(item) not in self._told:
                self._told.add(id(item))
                done = sum(i.state == "done" for i in self._tracked)
                text = f"[{done}/{len(self._tracked)}] {_name(item)}: {self._outcome(item)}"
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _outcome(self, item: Tracked) -> str:
        """Say how a cell ended; the cause of an earlier failure is not repeated."""
        if item.status.result is not None:
            return _figures(item)
        fault = _name(item), str(item.status.error)
        self._failed.append(fault)
        alike = next(c.faults for c in find_causes(self._failed) if fault in c.faults)
        earlier = next((name for name, _ in alike if name != fault[0]), None)
        return f"failed: {fault[1]}" if earlier is None else f"failed as {earlier} did"


def grid_table(tracked: Sequence[Tracked], width: int, most: int | None = None) -> Group:
    """Show all cells with their state; beyond ``most`` rows the least urgent are only counted."""
    columns = [
        Column("strategy"),
        Column("suite", importance=4),
        Column("backbone", importance=5),
        Column("seed", right=True, importance=1),
        Column("state"),
        Column("iteration", right=True, importance=3),
        Column("", importance=6),
        Column("test error", right=True, importance=2),
    ]
    shown = sorted(tracked, key=lambda item: _ORDER.index(item.state))[:most]
    rows: list[list[str | Text]] = []
    for item in tracked if most is None or len(tracked) <= most else shown:
        total, result = item.cell.config.iterations, item.status.result
        rows.append(
            [
                item.cell.strategy,
                item.cell.suite,
                item.cell.backbone,
                str(item.cell.seed),
                Text(item.state, style=_STYLES.get(item.state, "dim")),
                f"{item.status.iteration}/{total}",
                _bar(item.status.iteration, total),
                "" if result is None else short_figures(result),
            ]
        )
    counts: Counter[str] = Counter(item.state for item in tracked)
    total_text = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
    text = Text(f"{len(tracked)} runs: {total_text}", style="bold")
    return Group(fitted_table(columns, rows, width), text)


def _bar(done: int, total: int) -> Text:
    """Draw how much is done, as a bar of fixed width."""
    filled = round(_BAR * min(1.0, done / total))
    return Text.assemble(("━" * filled, "green"), ("━" * (_BAR - filled), "bright_black"))


def estimate(
    tracked: Sequence[Tracked], workers: int, rehearsed: Mapping[Variant, float] | None = None
) -> tuple[float | None, int]:
    """Estimate the seconds that the rest will take, and count the runs that are left out of it.

    A run's pace is that of the same strategy's runs that have done some iterations, else the one
    that was rehearsed; a strategy that has neither is left out.

    Args:
        tracked: all cells with their states.
        workers: number of cells at a time.
        rehearsed: seconds an iteration, by variant.
    """
    pace: dict[Variant, list[float]] = {
        variant: [seconds] for variant, seconds in (rehearsed or {}).items()
    }
    for item in tracked:
        if item.status.iteration and item.status.seconds:
            per_iteration = item.status.seconds / item.status.iteration
            pace.setdefault(variant_of(item), []).append(per_iteration)
    rest, unknown = 0.0, 0
    for item in tracked:
        if item.state == "done":
            continue
        known = pace.get(variant_of(item))
        if known:
            left = item.cell.config.iterations - item.status.iteration
            rest += left * sum(known) / len(known)
        else:
            unknown += 1
    return (rest / workers if pace else None), unknown


def short_figures(result: Result) -> str:
    """Write the mean test error; where tasks' metrics differ, those of the first three tasks."""
    split, metrics = result.test, result.metrics
    if split.error_mean is not None:
        return shown_value(split.error_mean, next(iter(metrics.values())))
    values = [shown_value(value, metrics[task]) for task, value in split.per_task.items()]
    return " / ".join([*values[:3], *(["…"] if len(values) > 3 else [])])


def variant_of(item: Tracked) -> Variant:
    """Return a cell's strategy, suite and backbone, which do not depend on its seed."""
    return (item.cell.strategy, item.cell.suite, item.cell.backbone)


def _name(item: Tracked) -> str:
    cell = item.cell
    return f"{cell.strategy}, {cell.suite}, {cell.backbone}, seed {cell.seed}"


def _figures(item: Tracked) -> str:
    result = item.status.result
    assert result is not None
    figures = split_text(result.test, result.metrics)
    error = "test" if result.test.error_mean is None else "test error"
    return f"{error} {figures} after {duration(item.status.seconds)}"
