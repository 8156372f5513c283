"""Faults of a plugin are found here before anything of it is used."""

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal

import pluggy

from ..support.errors import nearest

Kind = Literal["strategy", "backbone", "suite", "observer", "objective", "head"]
_NAME = re.compile(r"\w[\w.-]*")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_MARK = "@mtl_framework.hookimpl"


class LeftOutError(Exception):
    """This error says why a whole plugin cannot be used."""


def implementations(plugin: object) -> list[tuple[str, pluggy.HookImpl]]:
    """Return a plugin's marked functions with their hooks' names, known hooks or not.

    Raises:
        LeftOutError: if pluggy cannot read the plugin's functions.
    """
    scratch = pluggy.PluginManager("mtl_framework")
    try:
        scratch.register(plugin, "examined")
    except Exception as error:
        raise LeftOutError(f"its hooks cannot be read: {reason_of(error)}") from error
    callers = scratch.get_hookcallers(plugin) or []
    return [(caller.name, found) for caller in callers for found in caller.get_hookimpls()]


def check_hooks(plugin: object, manager: pluggy.PluginManager) -> Iterator[str]:
    """Yield the small faults of a plugin's hooks, one sentence each.

    Args:
        plugin: a module or another object.
        manager: a manager that knows the specified hooks, and has no plugin yet.

    Raises:
        LeftOutError: if the plugin has no hook, or one that cannot be called.
    """
    specified = {
        name: caller.spec.argnames
        for name, caller in vars(manager.hook).items()
        if caller.spec is not None
    }
    marked = implementations(plugin)
    hooks = {hook for hook, _ in marked}
    unmarked = [h for h in specified if h not in hooks and callable(getattr(plugin, h, None))]
    if not marked:
        missing = f" (here {', '.join(unmarked)})" if unmarked else ""
        raise LeftOutError(f"it has no hook: functions need the mark {_MARK}{missing}")
    for hook, implementation in marked:
        if implementation.wrapper or implementation.hookwrapper:
            raise LeftOutError(f"{hook} is a wrapper, but plugins are called one by one")
    try:
        manager.register(plugin, "examined")
    except pluggy.PluginValidationError as error:
        raise LeftOutError(_misuse(marked, specified) or reason_of(error)) from error
    try:
        manager.check_pending()
    except pluggy.PluginValidationError:
        for hook, implementation in marked:
            if hook not in specified and not implementation.optionalhook:
                near = nearest(hook, specified)
                yield f"there is no hook {hook!r}" + (f"; did you mean {near!r}?" if near else "")
    for hook in unmarked:
        yield f"{hook} needs the mark {_MARK}"


def _misuse(
    marked: Iterable[tuple[str, pluggy.HookImpl]], specified: Mapping[str, Collection[str]]
) -> str:
    """Say which argument of which hook does not exist; empty if all of them do."""
    for hook, implementation in marked:
        allowed = specified.get(hook, implementation.argnames)
        for argument in implementation.argnames:
            if argument not in allowed:
                takes = f"can take {', '.join(allowed)}" if allowed else "takes no argument"
                return f"{hook} {takes}; found {argument!r}"
    return ""


def misnomer(name: object) -> str:
    """Say why an object cannot be a contribution's name; empty if it can."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return ""
    return "should have a name of letters, digits and ._- only"


def misfit(kind: Kind, value: object) -> str:
    """Say why a value cannot be a contribution of a kind; empty if it can."""
    if isinstance(value, str):
        if _REFERENCE.fullmatch(value):
            return ""
        return f"should be an object or 'module:name', found {value!r}"
    if kind != "strategy":
        return "" if callable(value) else f"should be callable, found {type(value).__name__}"
    from ..strategies.strategy import Strategy, StrategyConfig

    if not (isinstance(value, type) and issubclass(value, Strategy)):
        found = value.__name__ if isinstance(value, type) else type(value).__name__
        return f"should be a subclass of Strategy, found {found}"
    if inspect.isabstract(value):
        return f"lacks {', '.join(sorted(value.__abstractmethods__))}"
    config: object = value.Config
    if not (isinstance(config, type) and issubclass(config, StrategyConfig)):
        return "should have a Config that is a subclass of StrategyConfig"
    if not isinstance(value.presets, Mapping) or not all(isinstance(n, str) for n in value.presets):
        return "should have presets that are mappings of a config's keys, by name"
    if "name" in config.model_fields:
        return "should have no option 'name': that key holds the strategy's own name"
    return ""


_MOST_CHARACTERS = 2000


def reason_of(error: BaseException) -> str:
    """Describe an exception in one line: its type and its message."""
    try:
        text = " ".join(str(error)[:_MOST_CHARACTERS].split())
    except Exception:  # an exception whose text raises
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
