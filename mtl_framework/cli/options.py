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

Iterations = Annotated[
    str | None,
    typer.Option("--iterations", metavar="INT", help="Steps of the strategy's training loop."),
]
Seed = Annotated[
    str | None,
    typer.Option("--seed", metavar="INT", help="Seed of weights, batches and sampling."),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N.")]
Precision = Annotated[
    str | None, typer.Option("--precision", help="Numbers of forward passes: fp32 or bf16.")
]
EvalEvery = Annotated[
    str | None,
    typer.Option("--eval-every", metavar="INT", help="Iterations between evaluations."),
]
RunOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Folder of the run; default: runs/SUITE-STRATEGY-BACKBONE-sSEED, with the options "
        "that differ from the defaults.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.")]
ShowTest = Annotated[
    bool, typer.Option("--show-test", help="Show figures of test examples while training.")
]
RunJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON instead of tables.")
]

ComparisonFile = Annotated[Path, typer.Argument(help="YAML file; see examples/.")]
ComparisonOutput = Annotated[
    Path | None,
    typer.Option("--output", help="Folder of the comparison. [default: comparisons/FILE]"),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Runs at a time; they share the machine's threads."),
]
GpusPerRun = Annotated[
    float | None, typer.Option("--gpus-per-run", help="GPUs of each run; 0.5: two runs share one.")
]
Ray = Annotated[
    str | None,
    typer.Option("--ray", metavar="auto|ADDRESS", help="Run on a Ray cluster (extra [ray])."),
]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Number of seeds.")]
RunIterations = Annotated[int | None, typer.Option("--iterations", help="Steps of a run.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the runs, what is done, and an estimate.")
]
ComparisonJson = Annotated[
    bool, typer.Option("--json", help="Print comparison.json instead of tables.")
]


def layers_of(config: Path | None, flags: dict[str, Any]) -> list[Layer]:
    """Layers of a config file and of the options that were given."""
    given = {key: value for key, value in flags.items() if value is not None}
    return [*([read_file(config)] if config else []), Layer(given)]


def settings_of(texts: list[str] | None) -> list[Setting]:
    """Every ``--set``, in order."""
    return [parse_setting(text) for text in texts or []]
