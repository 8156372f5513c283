"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..runs.resolve import Layer, read_file
from ..runs.settings import Setting, parse_setting

Strategy = Annotated[
    str | None, typer.Option("--strategy", help="How tasks share weights: `mtl list strategies`.")
]
Backbone = Annotated[
    str | None, typer.Option("--backbone", help="The network: `mtl list backbones`.")
]
Suite = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="The tasks to train together: `mtl list suites`; its options: `mtl describe --suite`.",
    ),
]
Preset = Annotated[
    str | None, typer.Option("--preset", help="Settings that the strategy names, e.g. a paper's.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file; other options win over it.")
]
DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        help="Where the suite's files lie: suite.data_root of a suite that reads files.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.")
]
LogFile = Annotated[
    Path | None,
    typer.Option("--log-file", metavar="FILE", help="Also write what is said to this file."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any key of a config, e.g. backbone.small_images=true; a bare key is an option of "
        "the strategy: `mtl describe --strategy NAME` lists them. A name with dots stands in "
        "quotes. Repeatable.",
    ),
]


def layers_of(config: Path | None, flags: dict[str, Any]) -> list[Layer]:
    """Layers of a config file and of the options that were given."""
    given = {key: value for key, value in flags.items() if value is not None}
    return [*([read_file(config)] if config else []), Layer(given)]


def settings_of(texts: list[str] | None) -> list[Setting]:
    """Every ``--set``, in order."""
    return [parse_setting(text) for text in texts or []]
