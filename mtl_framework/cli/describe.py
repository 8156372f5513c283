"""``mtl describe`` shows the options of plugins, and the parts of a backbone."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..support.alive import alive
from ..support.errors import MtlError
from ..support.terminal import Column, fitted_table
from . import options
from .console import load_plugins, stderr, stdout
from .option_tables import function_options, print_options, strategy_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ..backbones.backbone import Backbone, PlainBackbone
    from ..data.tasks import Suite
    from ..plugins.manager import Plugins
    from ..runs.config import RunConfig


def describe(
    backbone: options.Backbone = None,
    strategy: options.Strategy = None,
    suite: options.Suite = None,
    observer: Annotated[
        str | None,
        typer.Option("--observer", help="Name of an observer of runs: `mtl list observers`."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option("--objective", help="Name of an objective: `mtl list objectives`."),
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", help="Name of a decoder of maps: `mtl list heads`.")
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option("--input", metavar="CxHxW", help="Shape of an input; default: the suite's."),
    ] = None,
    settings: options.Settings = None,
    config: options.ConfigFile = None,
) -> None:
    """Show options of strategies, suites, objectives, heads or observers, or a backbone's units.

    Options are read from the plugin alone: no data is looked at. A backbone, that of ``--backbone``
    or of a config file, is built for inputs of the given shape, or of the suite's.
    """
    given = (strategy, suite, observer, objective, head)
    if all(value is None for value in (backbone, config, *given)):
        raise MtlError(
            "describe needs --strategy NAME, --suite NAME, --objective NAME, --head NAME, "
            "--observer NAME or --backbone NAME"
        )
    shape = None if inputs is None else _shape(inputs)
    plugins, console = load_plugins(), stdout()
    with alive(stderr(), "loading what is described"):
        tables = []
        if strategy is not None:
            tables.append(strategy_options(strategy, plugins.strategy(strategy)))
        for kind, name, factory_of in (
            ("suite", suite if backbone is None else None, plugins.suite),
            ("observer", observer, plugins.observer),
            ("objective", objective, plugins.objective),
            ("head", head, plugins.head),
        ):
            if name is not None:
                tables.append(function_options(kind, name, factory_of(name)))
    for table in tables:
        print_options(table, console)
    if backbone is None and (config is None or any(given)):
        return

    from ..runs.resolve import resolve

    flags: dict[str, Any] = {"backbone": backbone, "strategy": strategy, "suite": suite}
    layers = options.layers_of(config, flags)
    complete = resolve(plugins, layers, options.settings_of(settings)).config
    _describe_backbones(complete, plugins, shape, console)


def _describe_backbones(
    config: "RunConfig", plugins: "Plugins", shape: tuple[int, ...] | None, console: "Console"
) -> None:
    from ..backbones.build import build_backbone
    from ..runs.assembly import find_suite, own_backbones, suite_backbone

    if shape is None:
        suite = find_suite(config, plugins)
        if not suite.common_backbone:
            _print_own(own_backbones(config, plugins, suite), suite, config, console)
            return
        _print_backbone(suite_backbone(config.backbone, suite, plugins), console)
        return
    built = build_backbone(
        config.backbone,
        shape[0],
        (shape[1], shape[2]) if len(shape) == 3 else None,
        plugins.backbone(config.backbone.name),
        shape,
    )
    _print_backbone(built, console)


def _print_backbone(backbone: "Backbone", console: "Console") -> None:
    from ..networks.extraction_check import extraction_error, normalization_kinds

    size = "x".join(map(str, backbone.input_shape))
    total = backbone.num_parameters
    console.print(
        f"{backbone.name}: {total:,} parameters without the last layer, {len(backbone.units)} "
        f"units, {backbone.num_features} features, for inputs of {size}",
        markup=False,
    )
    columns = [
        Column("unit", right=True, importance=3),
        Column("name"),
        Column("parameters", right=True),
        Column("share", right=True, importance=1),
        Column("places", importance=2, prose=True),
    ]
    rows = []
    for number, unit in enumerate(backbone.units, 1):
        share = f"{100 * unit.num_parameters / total:.1f} %"
        places = ", ".join(place for place in unit.places if place != unit.name)
        rows.append([str(number), unit.name, f"{unit.num_parameters:,}", share, places])
    rest = total - sum(unit.num_parameters for unit in backbone.units)
    always = ", ".join(backbone.always_shared)
    rows.append(["", "always shared", f"{rest:,}", f"{100 * rest / total:.1f} %", always])
    console.print(fitted_table(columns, rows, console.width))
    if backbone.branching:
        console.print("branching: tasks that agree on their first units share the work so far")
    else:
        console.print(
            "not branching: early units are read again later, so that every distinct path is "
            "computed from the input on"
        )
    _print_maps(backbone, console)
    if backbone.heads_inside:
        console.print(
            "task heads: inside, as the model does more with class scores than return them"
        )
    layers = ", ".join(normalization_kinds(backbone)) or "no layers"
    console.print(f"normalization: {backbone.normalization} ({layers})")
    console.print(
        f"extraction: outputs of tasks' own networks differ by {extraction_error(backbone):.1e} of "
        "the largest"
    )
    for hint in backbone.hints:
        console.print(f"hint: {hint}", markup=False)


def _print_maps(backbone: "Backbone", console: "Console") -> None:
    from ..backbones.maps import find_maps, pyramid

    maps, reason = find_maps(backbone)
    if not maps:
        console.print(f"maps: none, as {reason}", markup=False, soft_wrap=True)
        return
    read = pyramid(maps)
    shown = [
        f"{'*' if each in read else ''}{each.channels} x {each.size[0]}x{each.size[1]} after unit "
        f"{each.level} (stride {each.stride})"
        for each in maps
    ]
    console.print(f"maps (* read by heads): {', '.join(shown)}", markup=False, soft_wrap=True)


def _print_own(
    backbones: "Sequence[PlainBackbone]", suite: "Suite", config: "RunConfig", console: "Console"
) -> None:
    columns = [
        Column("task"),
        Column("backbone"),
        Column("inputs", importance=1),
        Column("metric", importance=2),
        Column("outputs", right=True, importance=3),
        Column("parameters", right=True, importance=4),
    ]
    rows = []
    for task, backbone in zip(suite.tasks, backbones, strict=True):
        outputs = task.objective.num_outputs
        count = sum(p.numel() for p in backbone.create(outputs).parameters())
        shape = "x".join(map(str, backbone.input_shape))
        rows.append([task.name, backbone.name, shape, task.metric, str(outputs), f"{count:,}"])
    console.print(f"{suite.name}: tasks have networks of their own")
    console.print(fitted_table(columns, rows, console.width))
    if all(task.backbone is not None for task in suite.tasks):
        console.print(
            f"backbone {config.backbone.name!r} is not used; others for single tasks: "
            "--set task_backbones.TASK=NAME",
            markup=False,
            soft_wrap=True,
        )


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise MtlError(f"--input should be like 3x224x224 or 10, found {text!r}")
    return tuple(int(part) for part in parts)
