"""Options of the commands that use a saved run are defined here."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Which(StrEnum):
    """A run has these checkpoints, the newest and the best by validation."""

    last = "last"
    best = "best"


Folder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of the run.", show_default=False)
]
Checkpoint = Annotated[
    Which,
    typer.Option(
        "--checkpoint",
        help="Networks to use; last: after the last step; best: those with the best validation "
        "metric.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", help="Device that computes: auto, cpu, mps, cuda or cuda:N.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        help="Folder in which the run's data lies now, if it was moved.",
    ),
]
