"""These functions say, from pydantic's error types and contexts, what a value should have been."""

import enum
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

_PLAIN = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a valid integer"),
    "int_parsing_size": "an integer of at most 4300 digits",
    **dict.fromkeys(("float_type", "float_parsing"), "a valid number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "a valid boolean"),
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), "a valid string"),
    "finite_number": "a finite number",
    **dict.fromkeys(
        ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list"
    ),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
        "a mapping",
    ),
    "none_required": "null",
    "path_type": "a path",
    "callable_type": "callable",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("greater than or equal to", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("less than or equal to", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
_LENGTHS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_too_short": lambda c: f"have at least {_counted(c['min_length'], 'character')}",
    "string_too_long": lambda c: f"have at most {_counted(c['max_length'], 'character')}",
    "string_pattern_mismatch": lambda c: f"match {c['pattern']}",
    "too_short": lambda c: f"have at least {_counted(c['min_length'], 'entry', 'entries')}",
    "too_long": lambda c: f"have at most {_counted(c['max_length'], 'entry', 'entries')}",
}


def wish_of(detail: ErrorDetails) -> str:
    """Say what a value should be, e.g. ``"should be greater than 1"``.

    A validator's own ``ValueError`` speaks for itself, and so does pydantic about a kind of error
    that is not known here.
    """
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _PLAIN:
        return f"should be {_PLAIN[kind]}"
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return f"should be {word} {context[key]}"
    if kind in _LENGTHS:
        return f"should {_LENGTHS[kind](context)}"
    if kind in ("literal_error", "enum"):
        return f"should be {context['expected']}"
    own = context.get("error")
    text = " ".join(str(own if own is not None else detail["msg"]).split())
    return text if text.startswith(("should", "must", "has", "is")) else f"is wrong: {text}"


def allowed_words(annotation: Any) -> list[str]:
    """List every text that a ``Literal`` or an enumeration within an annotation allows."""
    if isinstance(annotation, enum.EnumMeta):
        members: list[enum.Enum] = list(annotation)
        return [str(member.value) for member in members]
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return [word for word in arguments if isinstance(word, str)]
    return [word for argument in arguments for word in allowed_words(argument)]


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
