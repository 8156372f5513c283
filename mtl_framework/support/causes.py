"""Many faults are told by their causes: how often each occurs, with a few places."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Parts of a message that differ between faults of one cause: what is in quotes or brackets, paths,
# numbers.
_VARIABLE = re.compile(r"'[^']*'|\([^)]*\)|(?<![^\s:=])[^\s:=]*/[^\s:,;]*|[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Cause:
    """A cause stands for faults whose texts differ only in numbers, names and paths.

    Args:
        faults: pairs of a place and what is wrong there; file 9 stands before file 10.
    """

    faults: tuple[tuple[str, str], ...]

    @property
    def what(self) -> str:
        """Return what is wrong, in the words of the first fault."""
        return self.faults[0][1]

    @property
    def places(self) -> list[str]:
        """Return the places of the faults, in order."""
        return [place for place, _ in self.faults]

    def lines(self, most_single: int) -> list[str]:
        """Return a line for each fault, or one for all if they are more than ``most_single``."""
        if len(self.faults) <= most_single:
            return [f"{place}: {what}" for place, what in self.faults]
        return [f"{len(self.faults)} times: {self.what}: {_listed(self.places)}"]


def find_causes(faults: Iterable[tuple[str, str]]) -> list[Cause]:
    """Put faults of one cause together; the most frequent cause comes first.

    Args:
        faults: pairs of a place and what is wrong there.
    """
    causes: dict[str, list[tuple[str, str]]] = {}
    for place, what in sorted(faults, key=lambda fault: _natural(fault[0])):
        causes.setdefault(_VARIABLE.sub("_", what), []).append((place, what))
    return sorted((Cause(tuple(same)) for same in causes.values()), key=lambda c: -len(c.faults))


def group_by_cause(faults: Iterable[tuple[str, str]], most_single: int = 4) -> list[str]:
    """Tell many faults in few lines: those of one cause share one, with their number and places.

    Faults are of one cause if their texts differ only in numbers, in paths, and in what stands in
    quotes or brackets. ``("a.png", "is empty")`` and four more like it become
    ``5 times: is empty: a.png, b.png, c.png and 2 more``.

    Args:
        faults: pairs of a place and what is wrong there.
        most_single: a cause with at most this many faults has a line for each of them.

    Returns:
        the lines; the most frequent cause comes first.
    """
    causes = find_causes(faults)
    many = [c for c in causes if len(c.faults) > most_single]
    single = [line for c in causes if c not in many for line in c.lines(most_single)]
    return [line for c in many for line in c.lines(most_single)] + sorted(single, key=_natural)


def _listed(names: Sequence[str], most: int = 3) -> str:
    """Join names by commas; of many, name the first and count the rest."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _natural(text: str) -> list[str | int]:
    """Return a sorting key by which file 9 stands before file 10."""
    return [int(part) if n % 2 else part for n, part in enumerate(re.split(r"([0-9]+)", text))]
