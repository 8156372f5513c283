"""Entry points of installed distributions are read here, and the modules that they name."""

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
    """An entry point has a name, a module that it names, and a distribution.

    It may be the standard library's, or that of the package importlib_metadata, which puts its own
    classes in the place of the standard ones wherever a program has imported it.
    """

    @property
    def name(self) -> str:
        """Return the plugin's name."""

    @property
    def value(self) -> str:
        """Return the name of the plugin's module."""

    @property
    def dist(self) -> Any:
        """Return the distribution, which has ``name`` and ``version``; ``None`` if unknown."""

    def load(self) -> Any:
        """Import the module and return it."""


@dataclass(frozen=True)
class EntryPointInfo:
    """An installed plugin is described by its distribution alone, without an import."""

    plugin: str
    distribution: str
    version: str
    module: str


def installed() -> list[EntryPoint]:
    """List the entry points of plugins: the framework's own first, then by distribution."""

    def order(entry: EntryPoint) -> tuple[bool, str, str]:
        distribution = distribution_of(entry)
        return (distribution != OWN_DISTRIBUTION, distribution, entry.name)

    return sorted(entry_points(group=GROUP), key=order)


def entry_point_metadata() -> list[EntryPointInfo]:
    """List all installed plugins, without importing any."""
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
    """Return the normalised name of an entry point's distribution."""
    name: str | None = entry.dist.name if entry.dist else None
    return normalized(name) if name else "an unnamed distribution"


def normalized(name: str) -> str:
    """Return a name in the form in which package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def import_module_of(entry: EntryPoint) -> object:
    """Import the module that an entry point names.

    Raises:
        LeftOutError: if the import fails, or the entry point names something else than a module.
    """
    try:
        module = entry.load()
    except (Exception, SystemExit) as error:
        raise LeftOutError(f"importing {entry.value} failed: {reason_of(error)}") from error
    if not inspect.ismodule(module):
        raise LeftOutError(f"its entry point {entry.value!r} should name a module")
    return module
