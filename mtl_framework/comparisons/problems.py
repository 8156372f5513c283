"""All faults of a config file are collected here, instead of raised one by one."""

from collections.abc import Mapping

from ..support.errors import MtlError, ProblemsError
from ..support.validation import Faults, KeyPath


class ConfigProblemsError(ProblemsError):
    """This error holds all faults of a config file."""


class Problems:
    """This object collects the faults of a config file with their places.

    Args:
        source: name of the file.
        lines: line number of every key, by its path.
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

    def add_all(self, faults: Faults) -> None:
        """Note several faults, each with the path of its key."""
        for key, problem in faults:
            self.add(problem, key)

    def raise_any(self) -> None:
        """Raise all faults so far, in the order of their lines.

        Raises:
            ConfigProblemsError: if there is a fault.
        """
        if self.found:
            raise ConfigProblemsError([text for _, text in sorted(self.found, key=lambda e: e[0])])
