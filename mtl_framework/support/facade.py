"""Packages import a public name from its module only when it is first used."""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str], moved: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package whose names are imported when used.

    Args:
        package: full name of the package.
        homes: for each public name the module that defines it, as a relative import in this package
            writes it but for the first dot.
        moved: names that were public here, and the public package that has each of them now. They
            still work, with a :class:`DeprecationWarning` that names the new place.
    """
    moved = moved or {}
    spec = sys.modules[package].__spec__
    parent = package if spec is None else spec.parent

    def get(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f".{homes[name]}", parent), name)
        if name in moved:
            warnings.warn(
                f"{package}.{name} is now {moved[name]}.{name}", DeprecationWarning, stacklevel=2
            )
            return getattr(import_module(moved[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
