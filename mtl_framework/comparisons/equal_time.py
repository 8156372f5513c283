"""Strategies are compared at equal time: each gets the iterations that it does in so many seconds.

How fast a strategy is shows only when it has run: paths that part cost more at first, say, than
when they have found together. And how long a run is has to be known when it begins, as schedules
and shares of the run go by it. So every strategy has a pilot, its run of the first seed with the
file's number of iterations, and the others get as many as fit at its mean pace. The pilots' results
stay in their folders: the same command gives the same runs, and goes on with them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..plugins.manager import Plugins
from ..runs.config import MOST
from ..support.errors import MtlError
from .config import ComparisonConfig
from .execution import Tracked, track
from .grid import Cell, make_grid


def track_pilots(comparison: ComparisonConfig, runs: Path, plugins: Plugins) -> list[Tracked]:
    """Track the pilot of every strategy, suite and backbone; none without ``seconds``.

    Args:
        comparison: the comparison.
        runs: the folder that holds the runs' folders.
        plugins: plugins that know the strategies' options.
    """
    settings = comparison.settings
    if settings.seconds is None:
        return []
    first = settings.model_copy(update={"seeds": settings.seeds[:1]})
    return track(make_grid(replace(comparison, settings=first)), runs, plugins)


def check_pilots(pilots: Sequence[Tracked]) -> None:
    """Refuse to go on where a pilot has failed.

    Raises:
        MtlError: naming the first pilot that failed.
    """
    for pilot in pilots:
        if pilot.status.result is None:
            raise MtlError(
                f"seconds: the pilot of strategy {pilot.cell.strategy!r} on suite "
                f"{pilot.cell.suite!r} failed, so that its pace is not known: "
                f"{pilot.status.error}; see {pilot.folder}"
            )


def cells_at_equal_time(comparison: ComparisonConfig, pilots: Sequence[Tracked]) -> list[Cell]:
    """Make the cells whose length is known.

    Args:
        comparison: the comparison.
        pilots: its pilots; cells of those that have ended get the iterations that fit into
            ``seconds`` at their pace, the others have no cells yet. None: all cells have the
            file's iterations.
    """
    if not pilots:
        return make_grid(comparison)
    seconds = comparison.settings.seconds
    assert seconds is not None
    variants = []
    for variant, pilot in zip(comparison.variants, pilots, strict=True):
        if (result := pilot.status.result) is not None:
            fitting = round(seconds / result.seconds_per_iteration)
            iterations = {"iterations": min(max(1, fitting), MOST)}
            config = variant.config.model_copy(update=iterations)
            variants.append(replace(variant, config=config))
    return make_grid(replace(comparison, variants=tuple(variants)))
