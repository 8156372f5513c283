"""Options of a function are checked against its signature before it is called.

A function whose options were renamed says so in its attribute ``older_names``, a mapping of former
names to those of now; what was saved under a former name is then still understood.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from .errors import MtlError
from .validation import Faults, KeyPath, Locate, dotted, explained, unknown_key


def check_arguments(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    prefix: KeyPath,
    locate: Locate | None = None,
) -> dict[str, Any]:
    """Convert options to the types that the function's annotations name, and return them.

    Args:
        function: the function that takes the options as keyword arguments.
        options: plain values by the option's name.
        prefix: path of the options within the config, which messages begin with.
        locate: a function from a key's path to the place that it was read from, e.g. ``"run.yaml:3:
            "``.

    Raises:
        MtlError: if an option is unknown, missing or of a wrong type.
    """
    checked, faults = _checked(function, options, prefix, locate)
    for _, fault in faults:
        raise fault
    return checked


def argument_faults(
    function: Callable[..., Any], options: Mapping[str, Any], prefix: KeyPath
) -> Faults:
    """Return what :func:`check_arguments` would refuse, each fault with the path of its key."""
    return _checked(function, options, prefix, None)[1]


def _checked(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    prefix: KeyPath,
    locate: Locate | None,
) -> tuple[dict[str, Any], Faults]:
    parameters = _parameters(function)
    if parameters is None:
        return dict(options), []
    options, faults = _with_present_names(function, options, prefix)
    where = locate or (lambda key: "")
    hints = _hints(function)
    keywords = [n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
    takes_any = len(keywords) < len(parameters)
    checked: dict[str, Any] = {}
    for name, value in options.items():
        key = (*prefix, name)
        if name not in keywords and not takes_any:
            known = [*keywords, "name"] if prefix else keywords  # beside a plugin's name
            faults.append((key, unknown_key(key, known, where(key))))
            continue
        try:
            checked[name] = _convert(hints.get(name), value, key, locate)
        except MtlError as error:
            faults.append((key, error))
    for name in keywords:
        if name not in options and parameters[name].default is inspect.Parameter.empty:
            key = (*prefix, name)
            faults.append((prefix, MtlError(f"{where(key)}{dotted(key)} is missing")))
    return checked, faults


def complete_arguments(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    prefix: KeyPath,
    locate: Locate | None = None,
) -> dict[str, Any]:
    """Return all options of a function as plain values: those given, and the others' defaults.

    Raises:
        MtlError: as :func:`check_arguments`.
    """
    check_arguments(function, options, prefix, locate)
    options, _ = _with_present_names(function, options, prefix)
    complete = {}
    for name, parameter in (_parameters(function) or {}).items():
        if parameter.kind is not parameter.VAR_KEYWORD and name not in options:
            try:
                complete[name] = to_jsonable_python(parameter.default)
            except PydanticSerializationError:
                continue  # a default that a config file cannot hold stays the function's own
    return {**complete, **options}


def _with_present_names(
    function: Callable[..., Any], options: Mapping[str, Any], prefix: KeyPath
) -> tuple[Mapping[str, Any], Faults]:
    older: Mapping[str, str] = getattr(function, "older_names", {})
    faults: Faults = [
        (
            (*prefix, name),
            MtlError(
                f"{dotted((*prefix, name))} is the older name of "
                f"{dotted((*prefix, older[name]))}; give one of them"
            ),
        )
        for name in options
        if name in older and older[name] in options
    ]
    return {older.get(name, name): value for name, value in options.items()}, faults


def takes(function: Callable[..., Any], name: str) -> bool:
    """Say whether a function has this option in its signature."""
    return name in (_parameters(function) or {})


def option_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of the options in a function's signature, without variable ones."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [n for n, p in (_parameters(function) or {}).items() if p.kind not in variable]


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    """Return the parameters that can be named; ``None`` where the signature is unknown."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    unnamed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    return {name: p for name, p in parameters.items() if p.kind not in unnamed}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target: Any = inspect.unwrap(function)
    if isinstance(target, type):
        target = vars(target).get("__init__", target)
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}  # annotations of names that do not exist at run time say nothing here


def _convert(hint: Any, value: Any, key: KeyPath, locate: Locate | None) -> Any:
    if hint is None:
        return value
    try:
        adapter = TypeAdapter(hint)
    except PydanticUserError:
        return value  # a type that plain values are not converted to
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        try:
            return adapter.validate_python(_numbers_as_text(value))
        except ValidationError:
            raise explained(error, value, key, hint, locate) from None


def _numbers_as_text(value: Any) -> Any:
    """Turn whole numbers in a value to text: where a name is wanted ``0`` is the name ``"0"``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list | tuple):
        return [_numbers_as_text(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _numbers_as_text(item) for key, item in value.items()}
    return value
