"""What pydantic finds wrong, in one line for the user."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import MtlError, nearest

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str, ...]


def validated(
    model: type[Model],
    values: Mapping[str, Any],
    prefix: KeyPath = (),
    locate: Callable[[KeyPath], str] | None = None,
) -> Model:
    """An instance of ``model`` from plain values.

    Args:
        model: what the values should be.
        values: as read from a config.
        prefix: path of ``values`` within the config, for the message.
        locate: says where a key comes from, e.g. ``"run.yaml:3: "``.

    Raises:
        MtlError: naming the first key that is wrong, its value and what is allowed.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise explained(error, values, prefix, model, locate) from None


def explained(
    error: ValidationError,
    values: Any,
    prefix: KeyPath = (),
    model: type[BaseModel] | None = None,
    locate: Callable[[KeyPath], str] | None = None,
) -> MtlError:
    """The first wrong key of a validation error, as one line.

    Args:
        error: what pydantic raised.
        values: what was validated.
        prefix: path of ``values`` within the config.
        model: what they should have been; ``None`` for a single value.
        locate: says where a key comes from.
    """
    details = error.errors(include_url=False)
    first = details[0]
    path = _path(first["loc"], values, first["type"])
    key = (*prefix, *path)
    where = locate(key) if locate else ""
    if first["type"] == "extra_forbidden":
        return unknown_key(key, _fields(model, path[:-1]), where)
    name = ".".join(key)
    if first["type"] == "missing":
        return MtlError(f"{where}{name} is missing" if name else f"{where}a value is missing")
    same = [d for d in details if _path(d["loc"], values, d["type"]) == path]
    wishes = list(dict.fromkeys(_wish(d["msg"]) for d in same))
    wish = " or ".join(wishes).replace(" or should be ", " or ")
    message = where + (f"{name} {wish}" if name else wish)
    if path or model is None:
        found = first["input"]
        message += f", found {_shown(found)}"
        choices = _choices(first)
        near = nearest(found, choices) if isinstance(found, str) and choices else None
        message += f"; did you mean {near!r}?" if near else ""
    return MtlError(message)


def unknown_key(key: Sequence[str], known: Iterable[str], where: str = "") -> MtlError:
    """The error for a key that does not exist beside ``known`` ones."""
    known = sorted(known)
    name, section = ".".join(key), ".".join(key[:-1])
    near = nearest(key[-1], known)
    message = f"{where}unknown key {name!r}"
    if near:
        message += f"; did you mean {'.'.join([*key[:-1], near])!r}?"
    place = f" in {section}" if section else ""
    return MtlError(f"{message} (known{place}: {', '.join(known) or 'none'})")


def _path(location: tuple[int | str, ...], values: Any, kind: str) -> KeyPath:
    """The part of pydantic's location that is keys of the input; the rest names union members."""
    path: list[str] = []
    for part in location:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            if kind != "missing":
                continue
        path.append(str(part))
    return tuple(path)


def _wish(message: str) -> str:
    """``Input should be ...`` without its first word; own validators' text as it is."""
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    head, _, rest = message.partition(" ")
    wish = rest if head in {"Input", "String", "List", "Tuple", "Dictionary"} else message
    if not wish.startswith(("should", "must", "has", "is")):
        wish = f"is wrong: {wish}"
    wish = re.sub(r", (unable to|got a) .*| \(.*\)$", "", wish)
    wish = wish.replace("valid tuple", "list")
    return re.sub(r"valid dictionary( or instance of \w+)?", "mapping", wish)


def _choices(detail: Any) -> list[str]:
    expected = str(detail.get("ctx", {}).get("expected", ""))
    return [part.strip("' ") for part in expected.replace(" or ", ",").split(",") if part]


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fields(model: Any, path: KeyPath) -> list[str]:
    """Names of the fields where ``path`` leads within a model."""
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field is not None else None
    return list(getattr(model, "model_fields", {}))
