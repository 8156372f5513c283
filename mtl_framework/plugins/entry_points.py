"""Plugins as the installed distributions announce them."""

import inspect
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from .checks import LeftOutError, reason_of

GROUP = "mtl_framework"
OWN_DISTRIBUTION = "mtl-framework"


@runtime_checkable
class EntryPoint(Protocol):
    """What is asked of an entry point.

    It is the standard library's, or that of the package importlib_metadata, which puts its own
    classes in the place of the standard ones wherever a program has imported it.
    """

    @property
    def name(self) -> str:
        """The plugin's name."""

    @property
    def value(self) -> str:
        """The module that it names."""

    @property
    def dist(self) -> Any:
        """The distribution that it is from, which has ``name`` and ``version``; or ``None``."""

    def load(self) -> Any:
        """Import what it names."""


@dataclass(frozen=True)
class EntryPointInfo:
    """What an installed distribution says of a plugin, without importing anything of it."""

    plugin: str
    distribution: str
    version: str
    module: str


def installed() -> list[EntryPoint]:
    """Entry points of plugins: the framework's own first, then by distribution and name."""

    def order(entry: EntryPoint) -> tuple[bool, str, str]:
        distribution = distribution_of(entry)
        return (distribution != OWN_DISTRIBUTION, distribution, entry.name)

    return sorted(entry_points(group=GROUP), key=order)


def entry_point_metadata() -> list[EntryPointInfo]:
    """All installed plugins, without importing any."""
    return [
        EntryPointInfo(
            plugin=entry.name,
            distribution=distribution_of(entry),
            version=(entry.dist.version or "") if entry.dist else "",
            module=entry.value,
        )
        for entry in installed()
    ]


def distribution_of(entry: EntryPoint) -> str:
    """Normalised name of the distribution that an entry point is from."""
    name: str | None = entry.dist.name if entry.dist else None
    return normalized(name) if name else "an unnamed distribution"


def normalized(name: str) -> str:
    """A name in the form in which package indexes compare them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def import_module_of(entry: EntryPoint) -> object:
    """The module that an entry point names.

    Raises:
        LeftOutError: if importing fails, or what is named is no module.
    """
    try:
        module = entry.load()
    except (Exception, SystemExit) as error:
        raise LeftOutError(f"importing {entry.value} failed: {reason_of(error)}") from error
    if not inspect.ismodule(module):
        raise LeftOutError(f"its entry point {entry.value!r} should name a module")
    return module
