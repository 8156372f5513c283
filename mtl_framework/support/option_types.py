"""Types and defaults of options are put in the words of a config file."""

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

MISSING: Any = inspect.Parameter.empty
_NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", type(None): "null"}


def type_text(annotation: Any) -> str:
    """Say what a value may be, e.g. ``integer or null``, ``list of text``, ``'slow' or 'fast'``."""
    if annotation in _NAMES:
        return _NAMES[annotation]
    if annotation is Any or annotation is MISSING:
        return "anything"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_text(arguments[0])
    if origin is typing.Literal:
        return " or ".join(repr(word) for word in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(argument) for argument in arguments))
    named = origin if isinstance(origin, type) else annotation
    if isinstance(named, type):
        if issubclass(named, Mapping | BaseModel):
            of = f" of {type_text(arguments[1])} by name" if len(arguments) == 2 else ""
            return f"mapping{of}"
        if issubclass(named, Sequence | set | frozenset):
            return _list_text(arguments)
        return named.__name__
    return " ".join(str(annotation).split())


def _list_text(arguments: tuple[Any, ...]) -> str:
    if not arguments:
        return "list"
    items = dict.fromkeys(type_text(item) for item in arguments if item is not ...)
    text = " and ".join(items)
    if " or " in text:
        text = f"({text})"
    exactly = len(arguments) > 1 and arguments[-1] is not ...
    return f"list of {f'{len(arguments)} ' if exactly else ''}{text}"


def value_text(value: Any) -> str:
    """Write a default as a config file has it, in one line of at most 60 characters."""
    try:
        text = json.dumps(to_jsonable_python(value), ensure_ascii=False)
    except (PydanticSerializationError, ValueError):
        text = repr(value)
    if isinstance(value, str):
        text = text[1:-1] or "''"
    return text if len(text) <= 60 else f"{text[:57]}..."


def function_types(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return type and default of every parameter that can be named; defaults may be ``MISSING``."""
    target: Any = (
        vars(function).get("__init__", function) if isinstance(function, type) else function
    )
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: (hints.get(name, MISSING), parameter.default)
        for name, parameter in parameters.items()
        if parameter.kind in named
    }


def argument_docs(docstring: str) -> dict[str, str]:
    """Return the entries of a docstring's ``Args:`` section by name, each in one line."""
    lines = inspect.cleandoc(docstring).splitlines()
    if "Args:" not in lines:
        return {}
    entries: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        entry = re.fullmatch(r" {4}(\w+)(?: \([^)]*\))?: (.*)", line)
        if entry:
            name = entry[1]
            entries[name] = entry[2].strip()
        elif name:
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return {name: _plain(text) for name, text in entries.items()}


def _plain(text: str) -> str:
    """Return a sentence without the marks of reStructuredText."""
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "")
