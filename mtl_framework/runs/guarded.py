"""The host calls a strategy under a guard, so that errors in it name its plugin."""

import functools
from collections.abc import Callable, Generator, Mapping
from typing import Any

from ..plugins.guard import Guard
from ..strategies.strategy import Strategy, StrategyConfig
from ..support.errors import MtlError

_HOOKS = ("build", "build_each", "warm_start", "load_state_dict")
_DEEPEST = 200


def guarded_strategy(
    make: type[Strategy], options: StrategyConfig, seed: int, guard: Guard
) -> Strategy:
    """Make a strategy all of whose methods are called under a guard.

    The methods are replaced on the object; its class stays as it is.

    Args:
        make: the plugin's class.
        options: options of the strategy.
        seed: seed of the strategy's generators.
        guard: adds plugin and hook to exceptions, and restores torch's global settings.
    """
    with guard("__init__"):
        strategy = make(options, seed=seed)
    for hook in _HOOKS:
        setattr(strategy, hook, _guarded(getattr(strategy, hook), hook, guard))
    strategy.optimize = _guarded_steps(strategy.optimize, guard)  # type: ignore[method-assign]
    state_dict = _guarded(strategy.state_dict, "state_dict", guard)

    def checked_state() -> dict[str, Any]:
        state: dict[str, Any] = state_dict()
        _check_finite_depth(state, guard.who)
        return state

    strategy.state_dict = checked_state  # type: ignore[method-assign]
    return strategy


def _guarded(function: Callable[..., Any], hook: str, guard: Guard) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with guard(hook):
            return function(*arguments, **named)

    return call


def _guarded_steps(optimize: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    @functools.wraps(optimize)
    def start(run: Any) -> Any:
        with guard("optimize"):
            loop = optimize(run)
        return _steps(loop, guard) if isinstance(loop, Generator) else loop

    return start


def _steps(loop: Generator[Any, None, None], guard: Guard) -> Generator[Any, None, None]:
    try:
        while True:
            with guard("optimize", again=True):
                try:
                    step = next(loop)
                except StopIteration:
                    return
            yield step
    finally:
        with guard("optimize"):
            loop.close()


def _check_finite_depth(state: object, who: str) -> None:
    """Raise an error on a state that contains itself, which no file could hold.

    Raises:
        MtlError: naming the strategy and where in its state that begins.
    """
    todo: list[tuple[object, tuple[str, ...]]] = [(state, ())]
    while todo:
        value, path = todo.pop()
        if len(path) > _DEEPEST:
            text = ".".join(path[:3])
            raise MtlError(f"{who}: its state is nested without end, at {text}; save plain values")
        if isinstance(value, Mapping):
            todo += [(item, (*path, str(key))) for key, item in value.items()]
        elif isinstance(value, list | tuple):
            todo += [(item, (*path, str(number))) for number, item in enumerate(value)]
