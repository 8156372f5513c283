"""All that is wrong with a user's files is reported at once, or left out and counted."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mtl_framework import MtlError, ProblemsError, group_by_cause

SHAPE_REMEDY = "images of one task need one shape"


#: So many lines at most say what was left out.
MOST_LINES = 20


class Faults:
    """This class collects what is wrong with the files of a suite.

    Args:
        suite: name of the suite, for messages.
        skip: whether what is wrong is left out; otherwise the whole suite is refused.
    """

    def __init__(self, suite: str, skip: bool) -> None:
        self.suite = suite
        self.skip = skip
        self._found: list[tuple[str, str]] = []

    def add(self, place: str, what: str) -> None:
        """Note a fault.

        Args:
            place: file, with the row if it has rows, or folder where something is wrong.
            what: what is wrong there.
        """
        self._found.append((place, " ".join(what.split())))

    @property
    def found(self) -> list[str]:
        """Return all faults as texts, ordered by place, with row 9 before row 10."""
        return group_by_cause(self._found, most_single=len(self._found))

    def grouped(self) -> list[str]:
        """Return the faults as texts; many of one cause are one line with three examples."""
        return group_by_cause(self._found)

    def record(self, root: Path) -> list[str]:
        """Return all faults with paths relative to a folder, which may be moved."""
        return [text.replace(f"{root.as_posix()}/", "") for text in self.found]

    def stop(self) -> NoReturn:
        """Refuse the suite, because leaving out what is wrong would leave nothing useful.

        Raises:
            ProblemsError: with all faults.
        """
        raise ProblemsError(self.grouped())

    def settle(self, tasks: Sequence[str] = ()) -> tuple[str, ...]:
        """Return what the suite says about faults that are left out; nothing if there are none.

        Args:
            tasks: names of the tasks that are left out whole.

        Raises:
            ProblemsError: with all faults, unless ``skip`` leaves them out.
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
        lines = self.grouped()
        more = len(lines) - MOST_LINES
        told = [f"skip_bad left out: {line}" for line in lines[:MOST_LINES]]
        if more > 0:
            told.append(f"skip_bad left out: {more} more kinds of faults")
        if tasks:
            whole = "the whole task" if len(tasks) == 1 else "whole tasks:"
            told.append(f"skip_bad left out {whole} {', '.join(map(repr, tasks))}")
        count = len(self._found)
        faults = "fault" if count == 1 else "faults"
        told.append(f"skip_bad left out {count} {faults}; a run keeps all of them in data.json")
        return tuple(told)


def no_file(path: Path) -> str:
    """Return a message that a file does not exist, and how to say where it is."""
    return f"there is no file {path}; say where the data lies with --data-root and suite.path"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Join names by commas; of more than ``most`` only the first, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def reason(error: MtlError, path: str) -> str:
    """Return a message without the path, which its reader sees in front of it anyway."""
    text = str(error)
    for part in (f"{path} ", f" {path}"):
        text = text.replace(part, " " if part.startswith(" ") else "")
    return text.strip()
