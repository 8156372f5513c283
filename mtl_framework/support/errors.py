"""Errors that the user can put right: each says in one line what is wrong and what is allowed."""

import difflib
from collections.abc import Iterable, Sequence


class MtlError(Exception):
    """An error that the user can put right.

    The message is one line that names the key or file, the value found and what is allowed. The
    command line prints it without a traceback and exits with status 2.
    """


class ProcessLostError(MtlError):
    """This is raised where another process of the run has ended, so that none can go on."""


class ProblemsError(MtlError):
    """This error holds several faults at once; each is one line in :attr:`problems`.

    The message itself holds the first hundred, and how many more there are.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.first()))

    def first(self, most: int = 100) -> list[str]:
        """Return the first faults, and a line that counts the others where there are more."""
        more = len(self.problems) - most
        return [*self.problems[:most], *([f"and {more} more"] if more > 0 else [])]


class UnknownNameError(MtlError):
    """This is the error about a name that nothing answers to.

    Args:
        kind: kind of object that the name stands for, e.g. ``"strategy"``.
        name: the unknown name.
        known: every valid name.
        hint: a further half sentence, e.g. how to list the names.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = nearest(name, self.known)
        message = f"unknown {kind} {name!r}"
        if near:
            message += f"; did you mean {near!r}?"
        if len(self.known) <= 30:
            message += f" (known: {', '.join(self.known) or 'none'})"
        super().__init__(message + (f"; {hint}" if hint else ""))


def message_of(error: BaseException) -> str:
    """Return what an exception says, in one line; its type's name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the valid name closest to ``name``, or ``None`` where none is close."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return nearest[0] if nearest else None
