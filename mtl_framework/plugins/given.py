"""Strategies, backbones and suites may be handed over by a program as Python objects.

A config names them ``python:NAME``, which no plugin's name can be. A program that reads that config
later has to give the object again wherever it is used: a backbone where networks are built, a suite
where examples are read.
"""

from collections.abc import Callable
from typing import Any

from ..support.errors import MtlError
from .checks import Kind, misfit
from .contributions import Contribution, Source

PREFIX = "python:"
_SOURCE = Source("Python objects", "this program")


def is_given(name: str) -> bool:
    """Return whether a config's name stands for a Python object."""
    return name.startswith(PREFIX)


def shown_name(name: str) -> str:
    """Return a name without the prefix that marks Python objects."""
    return name.removeprefix(PREFIX)


def contribution(kind: Kind, name: str, value: Any) -> Contribution:
    """Make a contribution of a Python object, as if a plugin had it.

    Args:
        kind: the kind of the object, e.g. ``"strategy"``.
        name: the name in configs, with :data:`PREFIX`.
        value: a class of strategies, or a factory of backbones or suites.

    Raises:
        MtlError: if the object does not fit its kind.
    """
    wrong = misfit(kind, value)
    if wrong:
        raise MtlError(f"{kind} {shown_name(name)!r} {wrong}")
    return Contribution(kind, name, value, _SOURCE)


def absent(kind: Kind, name: str) -> MtlError:
    """Make the error for a config's Python object that this program was not given."""
    return MtlError(
        f"{kind} {shown_name(name)!r} of this config is a Python object, which has to be given "
        f"again: {kind}=... of mtl_framework.run or mtl_framework.load_run"
    )


def absent_factory(kind: Kind, name: str) -> Callable[..., Any]:
    """Make a factory that raises :func:`absent` if it is ever called."""

    def missing(**options: Any) -> Any:
        raise absent(kind, name)

    return missing
