"""Plugins that misbehave: the user reads plugin, hook and reason; torch is as it was."""

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from pydantic import field_validator
from support.tiny import Soft, TinyPlugins, start

from mtl_framework import Step, StrategyConfig, hookimpl
from mtl_framework.data import Suite
from mtl_framework.plugins.guard import Guard, failure_text, origin_of
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.resolve import Layer, resolve
from mtl_framework.support.errors import MtlError

WHO = "strategy 'odd' of plugin 'tiny' of this program"


def changed(name: str, method: Callable[..., Any]) -> TinyPlugins:
    return TinyPlugins(odd=type("Odd", (Soft,), {name: method}))


def fail(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("by zero")


def leave(*_: Any, **__: Any) -> Any:
    sys.exit(0)


def broken_steps(self: Any, run: Any) -> Generator[Step, None, None]:
    yield from ()
    sys.exit(0)


@pytest.mark.parametrize("hook", ["build", "warm_start", "optimize", "state_dict", "__init__"])
def test_what_a_strategy_raises_names_it(tmp_path: Path, hook: str) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        start(tmp_path / "r", changed(hook, fail), strategy="odd").execute()
    assert origin_of(caught.value) == (WHO, hook)
    assert failure_text(caught.value) == f"{WHO}: {hook} raised ZeroDivisionError: by zero"
    assert f"raised in {hook} of {WHO}" in caught.value.__notes__


@pytest.mark.parametrize(
    ("hook", "method"), [("build", leave), ("optimize", broken_steps), ("state_dict", leave)]
)
def test_sys_exit_ends_the_call_and_not_the_command(
    tmp_path: Path, hook: str, method: Callable[..., Any]
) -> None:
    with pytest.raises(MtlError, match=rf"{WHO}: {hook} called sys\.exit\(0\)"):
        start(tmp_path / "r", changed(hook, method), strategy="odd").execute()


def test_observers_that_leave_or_change_torch_are_told_of(tmp_path: Path) -> None:
    problems: list[str] = []

    class Watcher:
        @hookimpl
        def mtl_step(self, run: Any) -> None:
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)

        @hookimpl
        def mtl_evaluated(self) -> None:
            sys.exit(0)

    plugins = Plugins(on_problem=lambda problem: problems.append(str(problem)))
    plugins.register(Watcher(), "watcher")
    for number in range(2):
        plugins.notify("mtl_step", run=number, step=None)
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert len(problems) == 1
    assert (
        "mtl_step changed torch's default dtype from torch.float32 to torch.float64" in problems[0]
    )
    assert "gradients from True to False; that was put back" in problems[0]
    with pytest.raises(MtlError, match=r"mtl_evaluated called sys\.exit\(0\)"):
        plugins.notify("mtl_evaluated", run=None, evaluation=None)


def test_a_loop_keeps_its_own_settings_and_the_host_keeps_its() -> None:
    seen: list[bool] = []
    told: list[str] = []

    def loop() -> Generator[int, None, None]:
        with torch.no_grad():
            for number in range(3):
                seen.append(torch.is_grad_enabled())
                yield number

    guard, steps = Guard("it", told.append), loop()
    for _ in range(3):
        with guard("optimize", again=True):
            next(steps)
        assert torch.is_grad_enabled()
    assert seen == [False, False, False]
    assert told == ["it: optimize changed torch's gradients from True to False; that was put back"]


class RaisingConfig(StrategyConfig):
    size: int = 1

    @field_validator("size")
    @classmethod
    def check(cls, value: int) -> int:
        raise KeyError("no such size")


def test_a_validator_that_raises_is_named() -> None:
    plugins = TinyPlugins(odd=type("Odd", (Soft,), {"Config": RaisingConfig}))
    with pytest.raises(KeyError) as caught:
        resolve(plugins, [Layer({"strategy": {"name": "odd", "size": 2}, "suite": "tiny"})])
    assert failure_text(caught.value) == f"{WHO}: Config raised KeyError: 'no such size'"


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (3, "preset 'p' of strategy 'odd' should be a mapping of a config's keys, found 3"),
        ({"strategy": 3}, "strategy should be a name, or a mapping"),
        ({"iterations": object()}, "holds what no config file can"),
        ({"itertions": 3}, "unknown key 'itertions'; did you mean 'iterations'?"),
    ],
)
def test_broken_presets_are_named(preset: Any, message: str) -> None:
    plugins = TinyPlugins(odd=type("Odd", (Soft,), {"presets": {"p": preset}}))
    with pytest.raises(MtlError) as caught:
        resolve(plugins, [Layer({"strategy": "odd", "suite": "tiny", "preset": "p"})])
    assert message in str(caught.value)


def test_presets_that_are_no_mapping_are_refused_with_the_strategy() -> None:
    with pytest.raises(MtlError, match="strategy 'odd' should have presets that are mappings"):
        TinyPlugins(odd=type("Odd", (Soft,), {"presets": ["p"]}))


def test_a_state_without_end_is_refused(tmp_path: Path) -> None:
    def endless(self: Any) -> dict[str, Any]:
        state: dict[str, Any] = {}
        state["inner"] = {"again": state}
        return state

    with pytest.raises(MtlError, match=rf"{WHO}: its state is nested without end, at inner.again"):
        start(tmp_path / "r", changed("state_dict", endless), strategy="odd").execute()


def test_a_registered_state_without_end_is_refused(tmp_path: Path) -> None:
    def build(self: Any, backbone: Any, suite: Any) -> Any:
        network = Soft.build(self, backbone, suite)
        endless: dict[str, Any] = {}
        endless["again"] = [endless]
        self.register_state("memory", endless)
        return network

    with pytest.raises(MtlError, match=r"Odd\.memory is nested without end; save plain values"):
        start(tmp_path / "r", changed("build", build), strategy="odd")
    assert not (tmp_path / "r").exists()


def test_an_observer_without_a_hook_is_refused(tmp_path: Path) -> None:
    class Deaf:
        def mtl_step(self, run: Any, step: Any) -> None:
            """Lacks the mark."""

    class Odd:
        @hookimpl
        def mtl_observers(self) -> dict[str, Any]:
            return {"number": lambda: 7, "deaf": Deaf}

    plugins = TinyPlugins()
    plugins.register(Odd(), "odd")
    for name, message in (
        ("number", r"observer 'number' of plugin 'odd' .*\(int\): it has no hook"),
        ("deaf", r"observer 'deaf' .*\(Deaf\): it has no hook: .* \(here mtl_step\)"),
    ):
        with pytest.raises(MtlError, match=message):
            start(tmp_path / name, plugins, observers=[{"name": name}]).execute()


@pytest.mark.parametrize("metrics", [3, {"x": "text"}, {"x": object()}, {3: 1.0}, {"x": 1j}])
def test_metrics_are_numbers(tmp_path: Path, metrics: Any) -> None:
    def optimize(self: Any, run: Any) -> Generator[Step, None, None]:
        for step in Soft.optimize(self, run):
            object.__setattr__(step, "metrics", metrics)  # the tests check types, a user's run not
            yield step

    with pytest.raises(MtlError, match="strategy 'odd' yielded"):
        start(tmp_path / "r", changed("optimize", optimize), strategy="odd").execute()


def test_factories_that_make_something_else_are_named(tmp_path: Path) -> None:
    class Odd:
        made: ClassVar[Any] = None

        @hookimpl
        def mtl_backbones(self) -> dict[str, Any]:
            return {"plate": lambda **_: 3, "leaver": leave}

        @hookimpl
        def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
            return {"leaving": leave}

    plugins = TinyPlugins()
    plugins.register(Odd(), "odd")
    for backbone, message in (
        ("plate", "backbone 'plate' should be a torch module, found int"),
        ("leaver", r"backbone 'leaver' .* cannot be built: its factory called sys\.exit\(0\)"),
    ):
        with pytest.raises(MtlError, match=message):
            start(tmp_path / "r", plugins, strategy="routed", backbone={"name": backbone})
    with pytest.raises(MtlError, match=r"suite 'leaving' of plugin 'odd'.*called sys\.exit\(0\)"):
        start(tmp_path / "r", plugins, suite={"name": "leaving"})
    assert not (tmp_path / "r").exists()
