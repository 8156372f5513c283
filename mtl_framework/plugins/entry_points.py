"""Entry points of installed distributions are read here, and the modules that they name."""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distribution, distributions
from typing import Any, Protocol, runtime_checkable

from .checks import LeftOutError, reason_of

GROUP = "mtl_framework"
OWN_DISTRIBUTION = "mtl-framework"
_UNNAMED = "an unnamed distribution"


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


@dataclass(frozen=True)
class UnreadableEntry:
    """An installed plugin cannot be loaded, because its distribution's entry points are no such."""

    plugin: str
    distribution: str
    reason: str


@dataclass(frozen=True)
class Installed:
    """What is installed are entry points that can be loaded, and those that cannot be read."""

    entries: list[EntryPoint] = field(default_factory=list)
    unreadable: list[UnreadableEntry] = field(default_factory=list)


def installed() -> Installed:
    """List the entry points of plugins: the framework's own first, then by distribution.

    Distributions are read one by one, so that a broken one takes nothing away from the others: some
    implementations of the metadata refuse what others read.
    """

    def order(entry: EntryPoint) -> tuple[bool, str, str]:
        owner = distribution_of(entry)
        return (owner != OWN_DISTRIBUTION, owner, entry.name)

    found = Installed()
    for owner, text in _owners():
        try:
            found.entries.extend(owner.entry_points.select(group=GROUP))
        except Exception as error:
            reason = f"its distribution's entry_points.txt cannot be read: {reason_of(error)}"
            name = _name_of(owner)
            unreadable = (UnreadableEntry(p, name, reason) for p in _plugins_in(text) or [name])
            found.unreadable.extend(unreadable)
    found.entries.sort(key=order)
    return found


def _owners() -> Iterator[tuple[Distribution, str]]:
    """Yield the distributions that name plugins, each with the text that does.

    Of several with one name, the first on the path counts, as for an import.
    """
    mark = f"[{GROUP}]"
    having = [found for found in distributions() if mark in _text(found)]
    yield from ((found, _text(found)) for found in having if _name_of(found) == _UNNAMED)
    for name in dict.fromkeys(map(_name_of, having)):
        if name != _UNNAMED and mark in (text := _text(first := distribution(name))):
            yield first, text


def _text(owner: Distribution) -> str:
    try:
        return owner.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):  # nobody can tell whether it names a plugin
        return ""


def _plugins_in(text: str) -> list[str]:
    """Return the names to the left of ``=`` in our section of a text that may be no such file."""
    section = text.partition(f"[{GROUP}]")[2].partition("\n[")[0]
    return re.findall(r"^\s*([\w.-]+)\s*=", section, re.MULTILINE)


def entry_point_metadata(entries: Iterable[EntryPoint]) -> list[EntryPointInfo]:
    """Describe entry points, without importing what they name."""
    return [
        EntryPointInfo(
            plugin=entry.name,
            distribution=distribution_of(entry),
            version=(entry.dist.version or "") if entry.dist else "",
            module=entry.value,
        )
        for entry in entries
    ]


def distribution_of(entry: EntryPoint) -> str:
    """Return the normalised name of an entry point's distribution."""
    return _name_of(entry.dist)


def _name_of(owner: Any) -> str:
    try:
        name: str | None = owner.name if owner else None
    except KeyError:  # newer implementations raise where METADATA has no name
        name = None
    return normalized(name) if name else _UNNAMED


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
