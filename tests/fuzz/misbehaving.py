"""Plugins that misbehave, one way at a time: the user reads plugin, hook and reason in a line."""

import random
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from support.tiny import Soft, TinyNet, TinyPlugins, tiny_suite

from mtl_framework import Step, StrategyConfig, hookimpl
from mtl_framework.cli import main
from mtl_framework.plugins.manager import Plugins
from mtl_framework.plugins.torch_settings import TorchSettings

from .harness import FaultError


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class RudeError(BaseException):
    pass


def _raises(error: BaseException) -> Callable[..., Any]:
    def act(*_: Any, **__: Any) -> Any:
        raise error

    return act


def _returns(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def _endless(*_: Any, **__: Any) -> Any:
    return _endless()


def _nested() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _dtype(*_: Any, **__: Any) -> Any:
    torch.set_default_dtype(torch.float64)


def _no_gradients(*_: Any, **__: Any) -> Any:
    torch.set_grad_enabled(False)


def _threads(*_: Any, **__: Any) -> Any:
    torch.set_num_threads(2)


def _deterministic(*_: Any, **__: Any) -> Any:
    torch.use_deterministic_algorithms(True)


def _prints(*_: Any, **__: Any) -> Any:
    warnings.warn("\x1b[2J of a plugin", stacklevel=1)


#: What is done in the place of a hook's work.
INSTEAD: dict[str, Callable[..., Any]] = {
    "divides by zero": _raises(ZeroDivisionError("by zero")),
    "raises an escape sequence": _raises(RuntimeError("\x1b[2J\x07 of\nseveral\rlines")),
    "raises a long text": _raises(ValueError("x" * 100_000)),
    "raises no text": _raises(UnprintableError()),
    "raises KeyError": _raises(KeyError("a")),
    "raises StopIteration": _raises(StopIteration()),
    "raises AssertionError": _raises(AssertionError()),
    "raises OSError": _raises(OSError(28, "No space left on device", "/x")),
    "raises ImportError": _raises(ImportError("no module")),
    "raises MemoryError": _raises(MemoryError()),
    "raises NotImplementedError": _raises(NotImplementedError()),
    "raises GeneratorExit": _raises(GeneratorExit()),
    "raises an exception of its own": _raises(RudeError("rude")),
    "leaves with 0": _raises(SystemExit(0)),
    "leaves with a text": _raises(SystemExit("text \x1b[2J")),
    "leaves with nothing": _raises(SystemExit()),
    "never returns from itself": _endless,
    "gives None": _returns(None),
    "gives a number": _returns(3),
    "gives a text": _returns("\x1b[2J"),
    "gives an object": _returns(object()),
    "gives a class": _returns(Soft),
    "gives a list in itself": _returns(_nested()),
    "gives a dict of objects": _returns({"\x1b[2J": object(), 3: [object()]}),
    "gives a lambda": _returns(lambda: None),
    "gives NaN": _returns(torch.tensor(float("nan"))),
    "gives a module": _returns(torch.nn.Linear(2, 2)),
}
#: What is done before a hook's own work.
BEFORE: dict[str, Callable[..., Any]] = {
    "changes the default dtype": _dtype,
    "switches gradients off": _no_gradients,
    "changes the threads": _threads,
    "asks for determinism": _deterministic,
    "warns with an escape sequence": _prints,
}
STRATEGY = ("__init__", "build", "warm_start", "optimize", "state_dict", "step", "loss", "metrics")
NETWORK = ("predict", "extract", "sharing", "parameter_counts")
OBSERVER = ("mtl_run_started", "mtl_step", "mtl_evaluated", "mtl_run_finished", "factory")
OTHERS = ("suite", "backbone", "forward", "units", "presets", "Config", "validator", "mtl_figures")
CONTRIBUTIONS = ("mtl_strategies", "mtl_suites", "mtl_backbones", "mtl_observers")
HOOKS = (*STRATEGY, *NETWORK, *OBSERVER, *OTHERS, *CONTRIBUTIONS)


def ways() -> list[tuple[str, str]]:
    """Every hook with every way to misbehave in it."""
    return [(hook, way) for hook in HOOKS for way in (*INSTEAD, *BEFORE)]


class Misbehaving:
    """``mtl run`` and ``mtl report`` with one plugin that misbehaves in one hook."""

    def __init__(self, folder: Path) -> None:
        self.ways = ways()
        random.Random(0).shuffle(self.ways)

    def attempt(self, number: int, generator: random.Random, folder: Path) -> str:
        """One way; all come in turn."""
        hook, way = self.ways[number % len(self.ways)]
        before = TorchSettings.now()
        texts, statuses = [], []
        shown = ["run", "--strategy", "odd", "--suite", "oddities", "--backbone", "oddity"]
        shown += ["--iterations=3", "--eval-every=2", "--device=cpu", f"--output={folder / 'r'}"]
        shown += ["--set", "observers=[watch]", "--set", "batch_size=8"]
        if hook in ("presets", "validator"):
            shown += ["--preset=p"]
        for arguments in (shown, ["report", str(folder / "r")]):
            with mock.patch.object(
                Plugins, "load", lambda on_problem=None: odd(hook, way, on_problem)
            ):
                status, text = said_by(arguments)
            statuses.append(status)
            texts.append(text)
        where = f"{hook} {way}"
        for text in texts:
            if "Traceback (most recent" in text or "\x1b" in text:
                raise FaultError(f"{where}: {text[-3000:]!r}")
        after = TorchSettings.now()
        if before is not None and before != after:
            before.apply()
            raise FaultError(f"{where}: torch is left with {before.changes(after)}")  # type: ignore[arg-type]
        if statuses[0] not in (0, 2):
            raise FaultError(f"{where}: status {statuses[0]}: {texts[0][-2000:]!r}")
        if statuses[0] == 0 and not (folder / "r" / "result.json").is_file():
            raise FaultError(f"{where}: status 0 without a result: {texts[0][-2000:]!r}")
        return f"status {statuses[0]}"


def said_by(arguments: list[str]) -> tuple[object, str]:
    """Exit status of the command line, and all that it prints."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            main(arguments)
        except SystemExit as leaving:
            return leaving.code, said.getvalue()
        except RudeError as error:
            return f"raised {type(error).__name__}", said.getvalue()
    return None, said.getvalue()


def replaced(hook: str, way: str, own: Callable[..., Any] | None) -> Callable[..., Any]:
    """The function of a hook that misbehaves."""
    if way in INSTEAD:
        return INSTEAD[way]

    def call(*given: Any, **named: Any) -> Any:
        BEFORE[way]()
        return None if own is None else own(*given, **named)

    return call


def odd(hook: str, way: str, on_problem: Any) -> Plugins:
    """Plugins of which one misbehaves."""

    def act(name: str, own: Callable[..., Any] | None) -> Any:
        return replaced(hook, way, own) if name == hook else own

    class Observer:
        pass

    for name in OBSERVER[:-1]:
        setattr(Observer, name, hookimpl(_observing(act(name, lambda **_: None))))

    strategy, net = odd_strategy(hook, act), odd_net(act)

    class Plugin:
        """Contributions."""

    contributions: dict[str, Callable[..., Any]] = {
        "mtl_strategies": lambda: {"odd": strategy},
        "mtl_suites": lambda: {"oddities": act("suite", lambda: tiny_suite())},
        "mtl_backbones": lambda: {"oddity": act("backbone", net)},
        "mtl_observers": lambda: {"watch": act("factory", Observer)},
        "mtl_figures": lambda: [],
    }
    for name, own in contributions.items():
        setattr(Plugin, name, hookimpl(_static(act(name, own))))
    plugins = TinyPlugins()
    plugins._on_problem = on_problem or plugins._on_problem
    plugins.register(Plugin(), "odd \x1b[2J")
    return plugins


def _static(function: Callable[..., Any]) -> Any:
    def hook(self: Any) -> Any:
        return function()

    return hook


def _observing(function: Callable[..., Any]) -> Any:
    def hook(self: Any, run: Any) -> Any:
        return function(run=run)

    return hook


def odd_net(act: Callable[..., Any]) -> type[TinyNet]:
    """A backbone whose methods may misbehave."""
    members = {name: act(name, getattr(TinyNet, name)) for name in ("forward", "units")}
    return type("OddNet", (TinyNet,), members)


def odd_strategy(hook: str, act: Callable[..., Any]) -> type[Soft]:
    """A strategy of which one part may misbehave."""

    class Config(StrategyConfig):
        learning_rate: float = 0.1
        python_noise: bool = False

    members: dict[str, Any] = {"Config": Config, "presets": {"p": {"iterations": 3}}}
    for name in ("__init__", "build", "warm_start", "optimize", "state_dict"):
        if name == hook:
            members[name] = act(name, getattr(Soft, name))
    if hook in NETWORK:

        def build(self: Any, backbone: Any, suite: Any) -> Any:
            network = Soft.build(self, backbone, suite)
            kind = type(network)
            changed = {hook: act(hook, getattr(kind, hook))}
            network.__class__ = type("OddModel", (kind,), changed)
            return network

        members["build"] = build
    if hook in ("step", "loss", "metrics"):

        def optimize(self: Any, run: Any) -> Generator[Any, None, None]:
            for step in Soft.optimize(self, run):
                if hook == "step":
                    yield act(hook, lambda step=step: step)()
                elif hook == "loss":
                    yield Step(act(hook, lambda step=step: step.loss)(), step.metrics)
                else:
                    yield Step(step.loss, act(hook, lambda step=step: step.metrics)())

        members["optimize"] = optimize
    if hook == "presets":
        members["presets"] = {"p": act(hook, lambda: {"iterations": 3})}
    if hook == "Config":
        members["Config"] = act(hook, Config)
    if hook == "validator":
        from pydantic import field_validator

        def check(cls: Any, value: Any) -> Any:
            return act(hook, lambda: value)()

        members["Config"] = type(
            "Config",
            (Config,),
            {
                "__annotations__": {"size": int},
                "size": 1,
                "check": field_validator("size", mode="before")(classmethod(check)),
            },
        )
        members["presets"] = {"p": {"strategy": {"size": 2}}}
    return type("Odd", (Soft,), members)


assert sys.version_info >= (3, 11)
