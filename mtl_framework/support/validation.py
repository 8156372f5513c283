"""What pydantic reports becomes one line for the user.

Sentences are made from pydantic's error types and their contexts (``wishes.py``), never from its
messages, whose words belong to it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .errors import MtlError, nearest
from .wishes import allowed_words, wish_of

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str, ...]
Locate = Callable[[KeyPath], str]
Faults = list[tuple[KeyPath, MtlError]]


def validated(
    model: type[Model],
    values: Mapping[str, Any],
    prefix: KeyPath = (),
    locate: Locate | None = None,
) -> Model:
    """Make an instance of ``model`` from plain values, checked by pydantic.

    Args:
        model: the pydantic model to make an instance of.
        values: plain values: what YAML, JSON or a Python dictionary of the user's holds.
        prefix: path of ``values`` within the config, which messages begin with.
        locate: a function from a key's path to the place that it was read from, e.g. ``"run.yaml:3:
            "``.

    Raises:
        MtlError: naming the first key that is wrong, its value and what is allowed.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise explained(error, values, prefix, model, locate) from None


def model_faults(model: type[BaseModel], values: Mapping[str, Any], prefix: KeyPath = ()) -> Faults:
    """Return one fault for every wrong key of ``values``, in pydantic's order."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        groups: dict[KeyPath, list[ErrorDetails]] = {}
        for detail in error.errors(include_url=False):
            groups.setdefault(tuple(map(str, detail["loc"][:1])), []).append(detail)
        return [
            ((*prefix, *key), _sentence(details, values, prefix, model, None))
            for key, details in groups.items()
        ]
    return []


def explained(
    error: ValidationError,
    values: Any,
    prefix: KeyPath = (),
    expected: Any = None,
    locate: Locate | None = None,
) -> MtlError:
    """Return the line that explains the first wrong key of a validation error.

    Args:
        error: the error that pydantic raised.
        values: the values that were validated.
        prefix: path of ``values`` within the config, which messages begin with.
        expected: what the values should have been: a model, or the annotation of a single value.
        locate: a function from a key's path to the place that it was read from, e.g. ``"run.yaml:3:
            "``.
    """
    return _sentence(error.errors(include_url=False), values, prefix, expected, locate)


def _sentence(
    details: Sequence[ErrorDetails],
    values: Any,
    prefix: KeyPath,
    expected: Any,
    locate: Locate | None,
) -> MtlError:
    first = details[0]
    path = _path(first["loc"], values, first["type"])
    key = (*prefix, *path)
    where = locate(key) if locate else ""
    if first["type"] == "extra_forbidden":
        known = _fields(expected, path[:-1])
        if prefix == ("strategy",) == key[:-1]:
            known.append("name")  # which stands beside a strategy's options
        return unknown_key(key, known, where)
    name = dotted(key)
    if first["type"] == "missing":
        return MtlError(f"{where}{name} is missing" if name else f"{where}a value is missing")
    same = [d for d in details if _path(d["loc"], values, d["type"]) == path]
    wish = " or ".join(dict.fromkeys(wish_of(d) for d in same)).replace(" or should be ", " or ")
    message = where + (f"{name} {wish}" if name else wish)
    if path or not _is_model(expected):
        message += f", found {shown(first['input'])}"
        words = allowed_words(_annotation(expected, path))
        near = nearest(first["input"], words) if isinstance(first["input"], str) else None
        message += f"; did you mean {near!r}?" if near else ""
    return MtlError(message)


def unknown_key(key: Sequence[str], known: Iterable[str], where: str = "") -> MtlError:
    """Make the error for a key that is none of the ``known`` ones."""
    known = sorted(known)
    name, section = shortened(dotted(key)), dotted(key[:-1])
    near = nearest(key[-1], known)
    message = f"{where}unknown key {name!r}"
    if near:
        message += f"; did you mean {dotted([*key[:-1], near])!r}?"
    place = f" in {section}" if section else ""
    return MtlError(f"{message} (known{place}: {', '.join(known) or 'none'})")


def dotted(key: Sequence[str]) -> str:
    """Write a key as ``--set`` takes it: parts joined by dots, in quotes where a part has a dot."""
    return ".".join(_quoted(part) for part in key)


def _quoted(part: str) -> str:
    plain = part and part == part.strip() and not set(part) & set('.="\\') and part[0] != "'"
    if plain:
        return part
    text = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def shown(value: Any) -> str:
    """Write a value in one line of at most 80 characters, as Python would."""
    return shortened(" ".join(_bounded(value).split()))


def shortened(text: str, most: int = 80) -> str:
    """Cut a text to at most ``most`` characters, with dots where its end was."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _bounded(value: Any, depth: int = 0) -> str:
    """Return the beginning of ``repr(value)``, without writing down all of a huge value."""
    if isinstance(value, str):
        return repr(value[:200])
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if not isinstance(value, Mapping | list | tuple):
        return repr(value)
    kind = "mapping" if isinstance(value, Mapping) else "list"
    if len(value) > 40 or depth > 3:
        return f"a {kind} of {len(value)} entries"
    if isinstance(value, Mapping):
        pairs = (f"{_bounded(k, depth)}: {_bounded(v, depth + 1)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    return f"[{', '.join(_bounded(item, depth + 1) for item in value)}]"


def _path(location: tuple[int | str, ...], values: Any, kind: str) -> KeyPath:
    """Return the part of pydantic's location that is keys; the rest names members of unions."""
    path: list[str] = []
    for part in location:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            if kind != "missing":
                continue
        path.append(str(part))
    return tuple(path)


def _is_model(expected: Any) -> bool:
    return isinstance(expected, type) and issubclass(expected, BaseModel)


def _annotation(expected: Any, path: KeyPath) -> Any:
    """Find the annotation at ``path``, through models, mappings and lists; ``None``: there is none.

    In ``dict[str, Crop | None]`` the path ``("dogs", "size")`` leads to the field ``size`` of
    ``Crop``.
    """
    for part in path:
        inner = (_inner(member, part) for member in _members(expected))
        expected = next((found for found in inner if found is not None), None)
    return expected


def _members(annotation: Any) -> list[Any]:
    """Return what a value may be: the members of a union, without what is annotated to them."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _inner(annotation: Any, part: str) -> Any:
    if _is_model(annotation):
        field = annotation.model_fields.get(part)
        return None if field is None else field.annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not isinstance(origin, type) or not arguments:
        return None
    if issubclass(origin, Mapping):
        return arguments[1]
    return arguments[0] if issubclass(origin, Sequence) else None


def _fields(expected: Any, path: KeyPath) -> list[str]:
    """Return the names of the fields at ``path`` within a model."""
    models = filter(_is_model, _members(_annotation(expected, path)))
    return list(dict.fromkeys(name for model in models for name in model.model_fields))
