"""This module defines types of options that several suites have."""

import csv
import re
import shlex
from collections.abc import Callable, Collection, Sequence
from itertools import combinations
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator


def _names(value: Any) -> Any:
    if isinstance(value, str):
        if '"' in value:  # around names with commas
            return [name.strip() for name in next(csv.reader([value], skipinitialspace=True))]
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

#: A list of names, or one text with commas between the names, as typed on a command line.
Names = Annotated[list[str], BeforeValidator(_names)]

#: What happens to files that hold several pictures: they are refused, or the first one is taken.
Animated = Literal["refuse", "first"]

#: A list of names for all tasks, or a mapping from some tasks to lists of names.
NamesByTask = Names | dict[str, Names]

#: A mapping from new tasks to the names of the tasks that each is made of.
Together = dict[str, Names]

Kind = Literal["classes", "binary", "numbers"]

#: A mapping from tasks to what their labels are.
Kinds = dict[str, Annotated[Kind, BeforeValidator(_kind)]]


def joined(names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """What names are with the commas at which one text was divided, by the part that is joined."""
    return {
        mark.join(names[first:last]): (first, last)
        for first, last in combinations(range(len(names) + 1), 2)
        if 1 < last - first <= _MOST_COMMAS
        for mark in (",", ", ")
    }


def rejoined(names: Sequence[str], known: Collection[str]) -> list[str]:
    """Names, those that are parts of a known name with commas in it put together again."""
    left = list(names)
    while not set(left) <= set(known):
        spans = [
            (span, text)
            for text, span in joined(left).items()
            if text in known and not set(left[slice(*span)]) <= set(known)
        ]
        if not spans:
            break
        (first, last), text = spans[-1]
        left[first:last] = [text]
    return left


def option(name: str, task: str, *values: str) -> str:
    """Return how an option of one task is set, as a user types it behind ``--set`` in a shell.

    Values that YAML, or the lists of :data:`Names`, would read as something else stand in quotes.
    """
    quoted = task.replace("\\", "\\\\").replace('"', '\\"')
    key = task if task.replace("_", "").replace("-", "").isalnum() else f'"{quoted}"'
    plain = all(map(_is_plain, values))
    value = ",".join(values) if plain else f"[{', '.join(map(_quoted, values))}]"
    return shlex.quote(f"suite.{name}.{key}={value}")


def _is_plain(text: str) -> bool:
    """Say whether YAML reads a text as that text, or as a number that is written so again."""
    if _NUMBER.fullmatch(text):
        return str(float(text) if "." in text else int(text)) == text
    return _WORDS.fullmatch(text) is not None and text.lower() not in _NO_TEXTS


def _quoted(text: str) -> str:
    """Return a text in double quotes, as YAML reads it, and with single blanks only."""
    letters = [
        f"\\{letter}" if letter in '"\\'
        else letter if letter.isprintable()
        else f"\\U{ord(letter):08x}"
        for letter in text
    ]  # fmt: skip
    return f'"{"".join(letters)}"'.replace("  ", " \\x20")


_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_WORDS = re.compile(r"[^\W\d_]\w*(?:[ ./+-]\w+)*\.?|\.|--")
_NO_TEXTS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])


def counted(number: int, noun: str) -> str:
    """Return a number with the noun that is counted, e.g. ``1 row`` or ``3 rows``."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


_MOST_COMMAS = 8  # parts of one name

Suites = TypeVar("Suites", bound=Callable[..., Any])


def older_names(**names: str) -> Callable[[Suites], Suites]:
    """Mark a suite with former names of its options, by which users can still set them."""

    def mark(suite: Suites) -> Suites:
        suite.older_names = names  # type: ignore[attr-defined]
        return suite

    return mark


def options_before(**values: Any) -> Callable[[Suites], Suites]:
    """Mark a suite with the values that options have in runs from before these options existed."""

    def mark(suite: Suites) -> Suites:
        suite.options_before = values  # type: ignore[attr-defined]
        return suite

    return mark
