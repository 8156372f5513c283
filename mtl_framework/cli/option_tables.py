"""Options of strategies, suites and observers are read from the plugins' code alone."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..support.option_types import MISSING, argument_docs, function_types, type_text, value_text
from ..support.terminal import Column, fitted_table

if TYPE_CHECKING:
    from rich.console import Console

    from ..strategies.strategy import Strategy


@dataclass(frozen=True)
class Option:
    """An option has a name, a type, a default and a meaning, all as texts."""

    name: str
    type: str
    default: str
    description: str


@dataclass(frozen=True)
class OptionTable:
    """A table has a plugin's options, a line on what the plugin is, and its presets."""

    kind: str
    name: str
    about: str
    options: tuple[Option, ...]
    presets: tuple[str, ...] = ()


def strategy_options(name: str, strategy: "type[Strategy]") -> OptionTable:
    """Read the options of a strategy from the fields of its ``Config``."""
    presets = tuple(strategy.presets)
    return OptionTable(
        "strategy", name, _first_line(strategy), model_options(strategy.Config), presets
    )


def model_options(model: Any) -> tuple[Option, ...]:
    """Read options from the fields of a pydantic model."""
    return tuple(
        Option(
            name,
            type_text(field.annotation),
            "needed"
            if field.is_required()
            else value_text(field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for name, field in model.model_fields.items()
    )


def function_options(kind: str, name: str, function: Callable[..., Any]) -> OptionTable:
    """Read options from the parameters of a suite's or another plugin's factory."""
    target = inspect.unwrap(function)
    types, docs = function_types(target), argument_docs(target.__doc__ or "")
    found = [
        Option(
            option,
            type_text(annotation),
            "needed" if default is MISSING else value_text(default),
            docs.get(option, ""),
        )
        for option, (annotation, default) in types.items()
    ]
    return OptionTable(kind, name, _first_line(target), tuple(found))


def print_options(table: OptionTable, console: "Console") -> None:
    """Print the table, and how an option is given."""
    console.print(f"{table.name}: {table.about}" if table.about else table.name, soft_wrap=True)
    columns = [
        Column("option"),
        Column("default", importance=1),
        Column("type", importance=3, prose=True),
        Column("what it is", importance=2, prose=True),
    ]
    rows = [[o.name, o.default, o.type, o.description] for o in table.options]
    if not rows:
        console.print("it has no options")
        return
    console.print(fitted_table(columns, rows, console.width))
    if table.presets:
        console.print(f"presets: {', '.join(table.presets)}", soft_wrap=True)
    console.print(f"give one with: {_example(table)}", soft_wrap=True)


def _example(table: OptionTable) -> str:
    option: str = table.options[0].name
    if table.kind == "observer":
        return f"observers: [{{name: {table.name}, {option}: VALUE}}] in a config file"
    if table.kind == "objective":
        key = "--set objectives.TASK"
        return f"mtl run {key}.name={table.name} {key}.{option}=VALUE"
    if table.kind == "head":
        return f"mtl run --set heads.TASK.name={table.name} --set heads.TASK.{option}=VALUE"
    section = "suite." if table.kind == "suite" else ""
    return f"mtl run --{table.kind} {table.name} --set {section}{option}=VALUE"


def _first_line(value: Any) -> str:
    return (value.__doc__ or "").strip().partition("\n")[0]


def markdown(options: Sequence[Option]) -> str:
    """Write options as a table of a documentation page."""

    def cell(text: str) -> str:
        return " ".join(text.split()).replace("|", "\\|")

    lines = ["| option | type | default | what it is |", "|---|---|---|---|"]
    lines += [
        f"| `{o.name}` | {cell(o.type)} | `{cell(o.default)}` | {cell(o.description)} |"
        for o in options
    ]
    return "\n".join(lines)
