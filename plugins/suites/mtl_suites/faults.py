"""Everything that is wrong with somebody's files, told at once or left out and counted."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mtl_framework import MtlError, ProblemsError, group_by_cause

SHAPE_REMEDY = "images of one task need one shape"


class Faults:
    """Collects what is wrong with the files of a suite.

    Args:
        suite: its name, for messages.
        skip: leave out what is wrong instead of refusing everything.
    """

    def __init__(self, suite: str, skip: bool) -> None:
        self.suite = suite
        self.skip = skip
        self._found: list[tuple[str, str]] = []

    def add(self, place: str, what: str) -> None:
        """Note a fault.

        Args:
            place: file, with its row where it has rows, or folder.
            what: is wrong there.
        """
        self._found.append((place, " ".join(what.split())))

    @property
    def found(self) -> list[str]:
        """All faults, by place, row 9 before row 10."""
        return group_by_cause(self._found, most_single=len(self._found))

    def grouped(self) -> list[str]:
        """The faults by cause: those of one cause that are many, in a line with three examples."""
        return group_by_cause(self._found)

    def record(self, root: Path) -> list[str]:
        """All faults, their places as seen from a folder, so that the data may be moved."""
        return [text.replace(f"{root.as_posix()}/", "") for text in self.found]

    def stop(self) -> NoReturn:
        """Tell all that was found where nothing useful would be left.

        Raises:
            ProblemsError: with all faults.
        """
        raise ProblemsError(self.grouped())

    def settle(self) -> tuple[str, ...]:
        """What a suite should say about itself, if it may be had in spite of the faults.

        Raises:
            ProblemsError: with all faults, unless they are to be left out.
        """
        if not self._found:
            return ()
        if not self.skip:
            problems = self.grouped()
            hint = f"suite {self.suite!r}: set suite.skip_bad=true to leave all of this out"
            shapes = sum(SHAPE_REMEDY in what for _, what in self._found)
            if shapes > len(self._found) / 2:  # leaving most of the images out is no remedy
                hint = (
                    f"suite {self.suite!r}: the images have different sizes; give them one with "
                    "--set suite.size=PIXELS"
                )
            raise ProblemsError([hint, *problems])
        count = len(self._found)
        return (f"skip_bad left out {count} {'fault' if count == 1 else 'faults'}, see data.json",)


def no_file(path: Path) -> str:
    """That a file is not there, and how to say where it is."""
    return f"there is no file {path}; say where the data lies with --data-root and suite.path"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names with commas between them, only the first where there are many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def reason(error: MtlError, path: str) -> str:
    """A message without the path that stands before it anyway."""
    text = str(error)
    for part in (f"{path} ", f" {path}"):
        text = text.replace(part, " " if part.startswith(" ") else "")
    return text.strip()
