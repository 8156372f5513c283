"""Three steps of each strategy tell how long cells would take that have not begun."""

from collections.abc import Mapping, Sequence

from rich.console import Console

from ..plugins.manager import Plugins
from ..runs.dry_run import preview
from ..runs.resolve import resolved
from ..support.errors import MtlError
from .execution import Tracked
from .terminal import Variant, variant_of


def rehearsed_paces(
    tracked: Sequence[Tracked], plugins: Plugins, console: Console
) -> Mapping[Variant, float]:
    """Measure the seconds an iteration of each variant none of whose cells has begun.

    Nothing is written. A variant whose steps fail is reported on the console, and left out.

    Args:
        tracked: all cells with their states.
        plugins: plugins in which names are looked up.
        console: console that gets a line for every variant.
    """
    begun = {variant_of(item) for item in tracked if item.status.iteration}
    first = {variant_of(i): i for i in reversed(tracked) if i.state != "done"}
    found: dict[Variant, float] = {}
    for variant, item in reversed(first.items()):
        if variant in begun:
            continue
        name = ", ".join(variant)
        try:
            shown = preview(resolved(item.cell.config, plugins), item.folder, plugins)
        except MtlError as error:
            console.print(f"{name}: {error}", markup=False, soft_wrap=True)
            continue
        found[variant] = shown.seconds_per_iteration
        console.print(f"{name}: {shown.estimate()}", markup=False, soft_wrap=True)
    return found
