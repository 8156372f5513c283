"""``mtl report`` writes the report of finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from ..support.alive import alive
from .console import load_plugins, stderr, stdout


def report(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Comparisons, runs, or folders that hold runs."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Folder for the report; default: DIR, or report if there are several."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Strategy that Δm is measured against.")
    ] = None,
) -> None:
    """Write tables and figures of runs as one self-contained page, and the figures beside it."""
    from ..comparisons.find import find
    from ..reports.command import make_report
    from ..reports.tables import print_analyses

    with alive(stderr(), "reading runs"):
        found = find(directories, baseline)
    if output is None:
        output = directories[0] if len(directories) == 1 else Path("report")
    title = f"Report on {', '.join(str(directory) for directory in directories)}"
    plugins = load_plugins()
    with alive(stderr(), "drawing figures"):
        page = make_report(output, title, found.analyses, plugins, found.left_out)
    print_analyses(found.analyses, stdout())
    for text in found.left_out:
        stderr().print(f"left out: {text}", markup=False)
    stdout().print(f"report: {page}", markup=False, soft_wrap=True)
