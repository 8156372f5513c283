"""Options that several commands have are defined here."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..runs.resolve import Layer, read_file
from ..runs.settings import Setting, parse_setting
from . import completion

Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help="Name of the strategy: how tasks share weights. `mtl list strategies` shows all.",
        autocompletion=completion.strategies,
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="Name of the network that tasks share, a timm model or a plugin's: `mtl list "
        "backbones`.",
        autocompletion=completion.backbones,
    ),
]
Suite = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="Name of the suite, the tasks and their data: `mtl list suites`; `mtl describe "
        "--suite NAME` "
        "shows its options.",
        autocompletion=completion.suites,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Name of settings that come with the strategy, e.g. paper."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML file with keys of a config; options on the command line take precedence.",
    ),
]
DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        help="Folder in which the suite's files lie: suite.data_root of a suite that reads files.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.")
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log-file",
        metavar="FILE",
        help="File to which everything that is printed is written, too.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any key of a config, e.g. backbone.small_images=true; a bare key is an option of "
        "the strategy: `mtl describe --strategy NAME` lists them. Put a name with dots in quotes. "
        "Repeatable.",
        autocompletion=completion.keys,
    ),
]

Iterations = Annotated[
    str | None,
    typer.Option(
        "--iterations", metavar="INT", help="Number of steps of the strategy's training loop."
    ),
]
Seed = Annotated[
    str | None,
    typer.Option(
        "--seed",
        metavar="INT",
        help="Seed of everything that is random: initial weights, batches, sampling.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="Device that trains: auto, cpu, mps, cuda or cuda:N.")
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="Number format of forward passes: fp32 or bf16.")
]
EvalEvery = Annotated[
    str | None,
    typer.Option("--eval-every", metavar="INT", help="Number of iterations between evaluations."),
]
RunOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Folder of the run; default: runs/SUITE-STRATEGY-BACKBONE-sSEED, with the options "
        "that differ from the defaults.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in --output.")]
ShowTest = Annotated[bool, typer.Option("--show-test", help="Show test metrics while training.")]
RunJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON instead of tables.")
]
JsonLines = Annotated[
    bool,
    typer.Option(
        "--json-lines", help="Print start, steps, evaluations and result, a line of JSON each."
    ),
]
RunDryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the complete config, data, units, parameters, and an estimate of time and "
        "memory from three steps; write nothing.",
    ),
]

Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        help="Number of processes that train together on this machine, each with its part of every "
        "batch and, on GPUs, a GPU of its own.",
    ),
]

ComparisonFile = Annotated[
    Path, typer.Argument(help="YAML file of the comparison; examples/ has some.")
]
ComparisonOutput = Annotated[
    Path | None,
    typer.Option("--output", help="Folder of the comparison; default: comparisons/FILE."),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Number of runs at a time; they share the machine's threads."),
]
GpusPerRun = Annotated[
    float | None,
    typer.Option("--gpus-per-run", help="Number of GPUs of each run; 0.5: two runs share one."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="auto|ADDRESS",
        help="Address of a Ray cluster to run on, or auto (needs the extra: ray).",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="STRATEGY",
        help="Do the runs of this strategy alone, by its name in the file (may be given several "
        "times); what is done of the others is in the report, too.",
    ),
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", help="Number of seeds, from 0 on, of each strategy.")
]
RunIterations = Annotated[
    int | None, typer.Option("--iterations", help="Number of steps of each run.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print all runs, their states, and an estimate of the time left; train nothing.",
    ),
]
ComparisonLines = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="Print runs as their states change, and the result, a line of JSON each.",
    ),
]
ComparisonJson = Annotated[
    bool, typer.Option("--json", help="Print comparison.json instead of tables.")
]


SearchFile = Annotated[
    Path,
    typer.Argument(help="YAML file: a run's config, and a section tune on what is searched."),
]
SearchOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Folder of the search; default: below searches, named after the config.",
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        "--trials", min=1, help="Number of settings to try in all; wins over tune.trials."
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Data base of the study, e.g. postgresql://user@host/name, which several machines can "
        "share; default: a SQLite file in the folder.",
    ),
]


def located(suite: str | None, data_root: str | None) -> str | dict[str, str] | None:
    """Return a config's key ``suite``, given the suite's name, its files' folder, or both."""
    if data_root is None:
        return suite
    return {**({} if suite is None else {"name": suite}), "data_root": data_root}


def layers_of(config: Path | None, flags: dict[str, Any]) -> list[Layer]:
    """Make the layers of a config file and of the options that were given."""
    given = {key: value for key, value in flags.items() if value is not None}
    return [*([read_file(config)] if config else []), Layer(given)]


def settings_of(texts: list[str] | None) -> list[Setting]:
    """Parse every ``--set``, in order."""
    return [parse_setting(text) for text in texts or []]
