"""Options that several suites have."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator


def _names(value: Any) -> Any:
    if isinstance(value, str):
        return [name.strip() for name in value.split(",")]
    if isinstance(value, bool | int | float):
        return [str(value)]
    if not isinstance(value, list | tuple):
        return value
    if None in value:
        raise ValueError("an empty entry is no name; write '' or \"null\" in quotes")
    return [str(name) for name in value]


def _kind(value: Any) -> Any:
    return _KINDS.get(value, value) if isinstance(value, str) else value


_KINDS = {
    "class": "classes",
    "classification": "classes",
    "number": "numbers",
    "regression": "numbers",
}

#: A list of names, also as one text with commas between them, as they are typed on a command line.
Names = Annotated[list[str], BeforeValidator(_names)]

#: What should be done with files that hold several pictures.
Animated = Literal["refuse", "first"]

#: Names for all tasks alike, or for some of them, by task.
NamesByTask = Names | dict[str, Names]

Kind = Literal["classes", "binary", "numbers"]

#: What the labels of every task are, by task.
Kinds = dict[str, Annotated[Kind, BeforeValidator(_kind)]]


def option(name: str, task: str, value: str) -> str:
    """How an option of one task is set, to be copied behind ``--set`` or into a message."""
    quoted = task.replace("\\", "\\\\").replace('"', '\\"')
    key = task if task.replace("_", "").replace("-", "").isalnum() else f'"{quoted}"'
    return f"suite.{name}.{key}={value}"


def counted(number: int, noun: str) -> str:
    """A number and what is counted, e.g. ``1 row`` or ``3 rows``."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


Suites = TypeVar("Suites", bound=Callable[..., Any])


def older_names(**names: str) -> Callable[[Suites], Suites]:
    """Marks a suite with former names of its options, by which they can still be set."""

    def mark(suite: Suites) -> Suites:
        suite.older_names = names  # type: ignore[attr-defined]
        return suite

    return mark


def options_before(**values: Any) -> Callable[[Suites], Suites]:
    """Marks a suite with what it did before these options existed, for runs that are older."""

    def mark(suite: Suites) -> Suites:
        suite.options_before = values  # type: ignore[attr-defined]
        return suite

    return mark
