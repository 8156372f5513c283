"""Checks for authors of strategies, to be called by their tests; each raises ``AssertionError``.

Every one trains the strategy of a config for a few iterations in a temporary folder, on the CPU.
"""

import tempfile
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..plugins.hookspecs import hookimpl
from ..plugins.manager import Plugins
from ..strategies.context import TrainingRun
from ..strategies.state import is_stateful
from ..strategies.strategy import Step, Strategy
from .checkpoint import Checkpoints
from .config import RunConfig, check_config
from .load import load_run
from .run import Run

_OWN = {"config", "seed", "_registered_state"}
_CODE = (type, types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.ModuleType)
_PLAIN = (str, bytes, int, float, complex, bool, type(None))


def small_config(strategy: str, iterations: int = 5, **options: Any) -> dict[str, Any]:
    """A config that trains a strategy on two embedded alphabets with a small network, in seconds.

    Args:
        strategy: its name.
        iterations: steps.
        options: of the strategy.
    """
    args = {"channels": [4, 4, 6, 8], "stem_width": 4}
    counts = {"train_per_task": 40, "validation_per_task": 40, "test_per_task": 40}
    return {
        "strategy": {"name": strategy, **options},
        "backbone": {"name": "resnet10t", "args": args},
        "suite": {"name": "alphabets", "tasks": ["digits", "greek"], **counts},
        "iterations": iterations,
        "eval_every": 2,
        "batch_size": 4,
        "log_every": 1,
    }


def check_strategy(config: Mapping[str, Any], plugins: Plugins | None = None) -> None:
    """Make all checks of this module.

    Args:
        config: of a run, as :func:`small_config` gives one; at least two iterations.
        plugins: where names are looked up; default: all installed ones.

    Raises:
        AssertionError: naming what fails.
        MtlError: if the config is wrong, or the strategy breaks its contract.
    """
    check_state_is_registered(config, plugins)
    check_resuming_is_exact(config, plugins)
    check_extraction(config, plugins)


def check_state_is_registered(config: Mapping[str, Any], plugins: Plugins | None = None) -> None:
    """Fail where an attribute of the strategy changes between two steps and is not saved.

    Tensors, numbers, texts and containers have to be named by ``register_state``; networks,
    optimisers, generators and whatever has a ``state_dict`` save themselves.

    Args:
        config: of a run.
        plugins: where names are looked up; default: all installed ones.

    Raises:
        AssertionError: naming the attributes.
    """
    watcher = _StateWatcher()
    watched = Plugins.load() if plugins is None else plugins
    watched.register(watcher, "state of the strategy")
    try:
        with tempfile.TemporaryDirectory() as folder:
            Run.start(_checked(config), watched, Path(folder) / "run").execute()
    finally:
        watched.unregister(watcher)
    if watcher.changed:
        names = ", ".join(sorted(watcher.changed))
        raise AssertionError(
            f"training changes {names}, which no checkpoint holds: name each by "
            "self.register_state(name, value) in build"
        )


def check_resuming_is_exact(config: Mapping[str, Any], plugins: Plugins | None = None) -> None:
    """Fail unless a run that ends early and is extended equals one that does not, bit for bit.

    Args:
        config: of a run of at least two iterations.
        plugins: where names are looked up; default: all installed ones.

    Raises:
        AssertionError: naming the first entry of the saved state that differs.
    """
    plugins = Plugins.load() if plugins is None else plugins
    whole = _checked(config)
    half = whole.model_copy(update={"iterations": max(1, whole.iterations // 2)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Run.start(whole, plugins, folder / "whole").execute()
        Run.start(half, plugins, folder / "parts").execute()
        torch.rand(3)  # what other code draws meanwhile does not matter
        Run.start(whole, plugins, folder / "parts", resume=True).execute()
        states = [
            Checkpoints(folder / part / "checkpoint").load("last", whole.iterations)
            for part in ("whole", "parts")
        ]
    for key in ("strategy", "batches", "recurrent"):
        difference = first_difference_of_states(states[0][key], states[1][key], key)
        assert difference is None, f"after a resume {difference} differs"


def check_extraction(config: Mapping[str, Any], plugins: Plugins | None = None) -> None:
    """Fail unless every task's network, taken out alone, predicts what all together predict.

    Args:
        config: of a run.
        plugins: where names are looked up; default: all installed ones.

    Raises:
        AssertionError: naming the task.
    """
    plugins = Plugins.load() if plugins is None else plugins
    with tempfile.TemporaryDirectory() as folder:
        Run.start(_checked(config), plugins, Path(folder) / "run").execute()
        run = load_run(Path(folder) / "run", plugins=plugins)
        for number, task in enumerate(run.suite.tasks):
            inputs = task.test.inputs
            rows = inputs[:8] if isinstance(inputs, Tensor) else torch.rand(8, *inputs.shape[1:])
            with torch.no_grad():
                alone = run.extract(task.name)(run.preprocessings[number](rows))
            together = run.predict(task.name, rows)
            same = torch.allclose(alone, together, rtol=1e-4, atol=1e-5)
            assert same, f"the extracted network of task {task.name!r} predicts something else"


def first_difference_of_states(one: Any, other: Any, where: str = "") -> str | None:
    """Where two nested states differ first; ``None`` where they are equal bit for bit."""
    if type(one) is not type(other):
        return where
    if isinstance(one, Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return None if same and torch.equal(one, other) else where
    if isinstance(one, Mapping):
        if set(one) != set(other):
            return where
        pairs = [(f"{where}.{key}", one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            return where
        pairs = [(f"{where}.{n}", a, b) for n, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other or (one != one and other != other) else where
    for path, a, b in pairs:
        difference = first_difference_of_states(a, b, path)
        if difference is not None:
            return difference
    return None


class _StateWatcher:
    """Remembers what unregistered attributes hold after a step, and looks again after the next."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self._before: dict[str, Any] | None = None

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Look before the first step."""
        self._before = _unsaved(run.strategy)  # type: ignore[attr-defined]

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Compare."""
        now = _unsaved(run.strategy)  # type: ignore[attr-defined]
        before = self._before or {}
        for name in now.keys() | before.keys():
            if name not in now or name not in before or _differs(before[name], now[name]):
                self.changed.add(name)
        self._before = now


def _unsaved(strategy: Strategy) -> dict[str, Any]:
    """Copies of everything plain on a strategy that its checkpoints leave out."""
    registered = strategy._registered()
    values: dict[str, Any] = {}
    for name, value in vars(strategy).items():
        if name not in _OWN and name not in registered:
            values |= dict(_leaves(value, f"self.{name}", {id(strategy)}))
    return values


def _leaves(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Tensor):
        yield path, value.detach().clone()
    elif isinstance(value, _PLAIN):
        yield path, value
    elif is_stateful(value) or id(value) in seen or isinstance(value, _CODE):
        return
    else:
        seen = seen | {id(value)}
        if isinstance(value, Mapping):
            parts = [(f"{path}[{key!r}]", item) for key, item in value.items()]
        elif isinstance(value, list | tuple):
            parts = [(f"{path}[{number}]", item) for number, item in enumerate(value)]
        elif isinstance(value, set | frozenset):
            parts = [(path, repr(sorted(map(repr, value))))]
        elif type(value).__module__.startswith(("torch", "mtl_framework")):
            return
        else:
            parts = [
                (f"{path}.{key}", item) for key, item in getattr(value, "__dict__", {}).items()
            ]
        for inner, item in parts:
            yield from _leaves(item, inner, seen)


def _differs(one: Any, other: Any) -> bool:
    return first_difference_of_states(one, other, "x") is not None


def _checked(config: Mapping[str, Any]) -> RunConfig:
    return check_config({**config, "device": "cpu", "keep": "both"})
