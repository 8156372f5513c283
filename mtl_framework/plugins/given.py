"""Strategies, backbones and suites that a program hands over as Python objects.

A config names them ``python:NAME``, which no plugin's name can be. Whoever reads that config later
needs the object again where it is used: networks of a backbone, examples of a suite.
"""

from collections.abc import Callable
from typing import Any

from ..support.errors import MtlError
from .checks import Kind, misfit
from .contributions import Contribution, Source

PREFIX = "python:"
_SOURCE = Source("Python objects", "this program")


def is_given(name: str) -> bool:
    """Whether a config's name stands for a Python object."""
    return name.startswith(PREFIX)


def shown_name(name: str) -> str:
    """A name without the mark of Python objects."""
    return name.removeprefix(PREFIX)


def contribution(kind: Kind, name: str, value: Any) -> Contribution:
    """Make a contribution of a Python object, as if a plugin had it.

    Args:
        kind: what it is.
        name: as configs have it, with :data:`PREFIX`.
        value: a class of strategies, or a factory of backbones or suites.

    Raises:
        MtlError: if it cannot be of that kind.
    """
    wrong = misfit(kind, value)
    if wrong:
        raise MtlError(f"{kind} {shown_name(name)!r} {wrong}")
    return Contribution(kind, name, value, _SOURCE)


def absent(kind: Kind, name: str) -> MtlError:
    """Make the error for an object that is not here."""
    return MtlError(
        f"{kind} {shown_name(name)!r} of this config is a Python object, which has to be given "
        f"again: {kind}=... of mtl_framework.run or mtl_framework.load_run"
    )


def absent_factory(kind: Kind, name: str) -> Callable[..., Any]:
    """A factory that only says what is needed, for where the object is not used after all."""

    def missing(**options: Any) -> Any:
        raise absent(kind, name)

    return missing
