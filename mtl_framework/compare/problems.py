"""Everything that is wrong with a config file, collected instead of raised one by one."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails

from ..support.arguments import check_arguments
from ..support.errors import MtlError, ProblemsError
from ..support.validation import KeyPath, explained

Found = list[tuple[MtlError, KeyPath]]


class ConfigProblemsError(ProblemsError):
    """All faults of a config file."""


class Problems:
    """Collects faults with their places.

    Args:
        source: name of the file.
        lines: line of every key, by path.
    """

    def __init__(self, source: str, lines: Mapping[KeyPath, int]) -> None:
        self.source = source
        self.lines = lines
        self.found: list[tuple[int, str]] = []

    def add(self, problem: MtlError, key: KeyPath) -> None:
        """Note a fault of a key; the line is that of the key or the nearest one above it."""
        for length in range(len(key), 0, -1):
            line = self.lines.get(key[:length])
            if line is not None:
                break
        else:
            line = 0
        where = f"{self.source}:{line}" if line else self.source
        entry = (line, f"{where}: {problem}")
        if entry not in self.found:
            self.found.append(entry)

    def raise_any(self) -> None:
        """Raise what was found, in the order of the lines.

        Raises:
            ConfigProblemsError: if there is something.
        """
        if self.found:
            raise ConfigProblemsError([text for _, text in sorted(self.found, key=lambda e: e[0])])


def model_problems(
    model: type[BaseModel], values: Mapping[str, Any], prefix: KeyPath = ()
) -> Found:
    """One fault for every wrong key of ``values``."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        details: dict[str, list[InitErrorDetails]] = {}
        for found in error.errors(include_url=False):
            detail = InitErrorDetails(type=found["type"], loc=found["loc"], input=found["input"])
            if "ctx" in found:
                detail["ctx"] = found["ctx"]
            details.setdefault(str(found["loc"][0]) if found["loc"] else "", []).append(detail)
        return [
            (
                explained(
                    ValidationError.from_exception_data(error.title, group), values, prefix, model
                ),
                (*prefix, key) if key else prefix,
            )
            for key, group in details.items()
        ]
    return []


def argument_problems(
    function: Callable[..., Any], options: Mapping[str, Any], prefix: KeyPath
) -> Found:
    """One fault for every wrong option of a function, and one if an option is missing."""
    found: Found = []
    missing = _problem(function, {}, prefix)
    for name, value in options.items():
        problem = _problem(function, {name: value}, prefix)
        if problem is not None and str(problem) != str(missing):
            found.append((problem, (*prefix, name)))
    whole = _problem(function, options, prefix)
    if whole is not None and not found:
        found.append((whole, prefix))
    return found


def _problem(
    function: Callable[..., Any], options: Mapping[str, Any], prefix: KeyPath
) -> MtlError | None:
    try:
        check_arguments(function, options, prefix)
    except MtlError as error:
        return error
    return None
