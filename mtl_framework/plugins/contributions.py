"""Contributions of plugins are examined here: their names, their faults, their origin."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from . import hookspecs
from .checks import Kind, check_hooks, implementations, misfit, misnomer, reason_of
from .entry_points import GROUP
from .guard import Guard, exception_of

_KINDS: dict[str, Kind] = {
    "mtl_strategies": "strategy",
    "mtl_backbones": "backbone",
    "mtl_suites": "suite",
    "mtl_observers": "observer",
    "mtl_objectives": "objective",
    "mtl_heads": "head",
}


@dataclass(frozen=True)
class Source:
    """A source is the origin of a contribution: a plugin and the distribution it came with."""

    plugin: str
    distribution: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution}"

    def problem(self, text: str) -> "PluginProblem":
        """Return the problem that a text tells, which need not name the plugin once more."""
        reason = text.removeprefix(f"{self}: ").replace(f" of {self}", "", 1)
        return PluginProblem(self.plugin, self.distribution, reason)


@dataclass(frozen=True)
class PluginProblem:
    """A problem says why a plugin, or one name that it contributes, is left out."""

    plugin: str
    distribution: str
    reason: str
    missing: tuple[Kind, str] | None = None

    def __str__(self) -> str:
        return f"{Source(self.plugin, self.distribution)}: {self.reason}"


class PluginWarning(UserWarning):
    """This warning says that a plugin, or a part of it, is left out."""


def warn(problem: PluginProblem) -> None:
    """Warn of a problem, at the place in the program that loaded the plugins."""
    warnings.warn(str(problem), PluginWarning, stacklevel=4)


@dataclass(frozen=True)
class Contribution:
    """A contribution is a class or factory under a name, or ``"module:name"`` of one."""

    kind: Kind
    name: str
    value: Any
    source: Source


Taken = Mapping[tuple[Kind, str], Contribution]

_OBJECTIVES = "mtl_framework.data.objectives.choices"
_OWN = ("classification", "binary", "multi_label", "regression", "poisson", "gaussian", "ordinal",
        "language_model", "segmentation", "depth", "normals", "binary_map",
        "map_regression")  # fmt: skip
_HEADS = "mtl_framework.networks.decoders.choices"
_OWN_HEADS = ("linear", "fcn", "aspp", "fpn", "segformer")


def of_the_host() -> dict[tuple[Kind, str], Contribution]:
    """Return what the framework itself contributes by name: its objectives and heads."""
    own: dict[tuple[Kind, str], Contribution] = {}
    objectives: tuple[Kind, str, tuple[str, ...]] = ("objective", _OBJECTIVES, _OWN)
    heads: tuple[Kind, str, tuple[str, ...]] = ("head", _HEADS, _OWN_HEADS)
    for kind, module, names in (objectives, heads):
        source = Source(f"{kind}s", "mtl-framework")
        for name in names:
            own[kind, name] = Contribution(kind, name, f"{module}:{name}", source)
    return own


def specified_hooks() -> pluggy.PluginManager:
    """Make a plugin manager that knows the hooks and has no plugin yet."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def beginnings() -> tuple[pluggy.PluginManager, dict[tuple[Kind, str], Contribution]]:
    """Return a manager without plugins, and the contributions of the framework itself."""
    return specified_hooks(), of_the_host()


def examine(
    plugin: object, source: Source, taken: Taken
) -> tuple[list[Contribution], list[PluginProblem]]:
    """Return what a plugin contributes, and what is wrong with single parts of it.

    Args:
        plugin: a module or another object with hooks.
        source: the plugin's name and distribution.
        taken: contributions of the plugins before it; these keep their names.

    Raises:
        LeftOutError: if no part of the plugin should be used.
    """
    problems: list[PluginProblem] = []

    def problem(reason: str, missing: tuple[Kind, str] | None = None) -> None:
        problems.append(PluginProblem(source.plugin, source.distribution, reason, missing))

    for reason in check_hooks(plugin, specified_hooks()):
        problem(reason)
    found: dict[tuple[Kind, str], Contribution] = {}
    guard = Guard("the plugin", problem)
    for hook, implementation in implementations(plugin):
        if hook not in _KINDS:
            continue
        kind = _KINDS[hook]
        try:
            with guard(hook):
                given = implementation.function()
        except Exception as error:
            problem(f"{hook} raised {reason_of(exception_of(error))}")
            continue
        if given is not None and not isinstance(given, Mapping):
            problem(f"{hook} should return a mapping, found {type(given).__name__}")
            continue
        for name, value in (given or {}).items():
            wrong = misnomer(name) or misfit(kind, value)
            if wrong:
                problem(f"{kind} {name!r} {wrong}", (kind, str(name)))
            elif (kind, name) in taken:
                holder = taken[kind, name].source
                problem(f"{kind} name {name!r} is taken by {holder}", (kind, name))
            else:
                found[kind, name] = Contribution(kind, name, value, source)
    return list(found.values()), problems
