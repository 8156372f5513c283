"""``mtl describe``: a backbone's parts, a strategy's options."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..runs.resolve import resolve
from ..support.errors import MtlError
from . import options
from .console import load_plugins, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ..backbones.backbone import Backbone, PlainBackbone
    from ..data.tasks import Suite
    from ..runs.config import RunConfig
    from ..strategies.strategy import Strategy


def describe(
    backbone: options.Backbone = None,
    strategy: options.Strategy = None,
    suite: options.Suite = None,
    inputs: Annotated[
        str | None,
        typer.Option("--input", metavar="CxHxW", help="Shape of an input. [default: the suite's]"),
    ] = None,
    settings: options.Settings = None,
    config: options.ConfigFile = None,
) -> None:
    """Show the units of a backbone in order, the options of a strategy, or a suite's networks."""
    if backbone is None and strategy is None and suite is None and config is None:
        raise MtlError("describe needs --backbone NAME, --strategy NAME or --suite NAME")
    shape = None if inputs is None else _shape(inputs)
    flags: dict[str, Any] = {"backbone": backbone, "strategy": strategy, "suite": suite}
    layers = options.layers_of(config, flags)
    parsed = options.settings_of(settings)
    plugins = load_plugins()
    complete = resolve(plugins, layers, parsed).config
    console = stdout()
    if strategy is not None:
        _print_strategy(strategy, plugins.strategy(strategy), console)
        if backbone is None:
            return
    from ..backbones.build import build_backbone
    from ..runs.assembly import find_suite, own_backbones

    common_input = True
    if shape is None:
        found = find_suite(complete, plugins)
        if not found.common_backbone:
            _print_own(own_backbones(complete, plugins, found), found, complete, console)
            return
        shape, common_input = found.input_shape, found.common_input

    built = build_backbone(
        complete.backbone,
        shape[0],
        (shape[1], shape[2]) if len(shape) == 3 else None,
        plugins.backbone(complete.backbone.name),
        shape,
        common_input,
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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("unit", "right"), ("name", "left"), ("parameters", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("share", justify="right")
    table.add_column("places", overflow="fold")
    for number, unit in enumerate(backbone.units, 1):
        share = f"{100 * unit.num_parameters / total:.1f} %"
        places = ", ".join(place for place in unit.places if place != unit.name)
        table.add_row(str(number), unit.name, f"{unit.num_parameters:,}", share, places)
    rest = total - sum(unit.num_parameters for unit in backbone.units)
    always = ", ".join(backbone.always_shared)
    table.add_row("", "always shared", f"{rest:,}", f"{100 * rest / total:.1f} %", always)
    console.print(table)
    if backbone.branching:
        console.print("branching: tasks that agree on their first units share the work so far")
    else:
        console.print(
            "not branching: early units are read again later, so that every distinct path is "
            "computed from the input on"
        )
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


def _print_own(
    backbones: "Sequence[PlainBackbone]", suite: "Suite", config: "RunConfig", console: "Console"
) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("task", "backbone", "inputs", "metric"):
        table.add_column(name, overflow="fold")
    table.add_column("outputs", justify="right")
    table.add_column("parameters", justify="right")
    for task, backbone in zip(suite.tasks, backbones, strict=True):
        outputs = task.objective.num_outputs
        count = sum(p.numel() for p in backbone.create(outputs).parameters())
        shape = "x".join(map(str, backbone.input_shape))
        table.add_row(
            task.name, backbone.name, shape, task.objective.metric, str(outputs), f"{count:,}"
        )
    console.print(f"{suite.name}: tasks have networks of their own", markup=False)
    console.print(table)
    if all(task.backbone is not None for task in suite.tasks):
        console.print(
            f"backbone {config.backbone.name!r} is not used; others for single tasks: "
            "--set task_backbones.TASK=NAME",
            markup=False,
            soft_wrap=True,
        )


def _print_strategy(name: str, strategy: "type[Strategy]", console: "Console") -> None:
    console.print(f"{name}: {(strategy.__doc__ or '').strip().partition(chr(10))[0]}", markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("option", "default", "what it is"):
        table.add_column(column, overflow="fold")
    for option, field in strategy.Config.model_fields.items():
        value = "computed" if field.default_factory else str(field.default)
        table.add_row(option, "needed" if field.is_required() else value, field.description or "")
    console.print(table)
    if strategy.presets:
        console.print(f"presets: {', '.join(strategy.presets)}", markup=False)


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise MtlError(f"--input should be like 3x224x224 or 10, found {text!r}")
    return tuple(int(part) for part in parts)
