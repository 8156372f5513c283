"""Plugins: found one by one, checked, reported; one that is broken harms no other."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mtl_framework.data.tasks import Classification, Examples, Suite, Task
from mtl_framework.plugins.contributions import PluginProblem, PluginWarning
from mtl_framework.plugins.entry_points import entry_point_metadata, installed
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.plugins.manager import Plugins
from mtl_framework.strategies.strategy import Strategy
from mtl_framework.support.errors import MtlError, UnknownNameError

STRATEGY = """
    from mtl_framework import Strategy, hookimpl

    class Mine(Strategy):
        def build(self, backbone, suite): ...
        def optimize(self, run): ...

    @hookimpl
    def mtl_strategies():
        return NAMES
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with one entry point where the import system finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(plugin: str, source: str, distribution: str = "", value: str = "") -> None:
        distribution = distribution or f"mtl-{plugin}"
        module = f"installed_{plugin}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        (info / "entry_points.txt").write_text(
            f"[mtl_framework]\n{plugin} = {value.replace('MODULE', module) or module}\n"
        )

    return put


def strategy(names: str) -> str:
    return STRATEGY.replace("NAMES", names)


def load() -> Plugins:
    return Plugins.load(on_problem=lambda problem: None)


def test_built_in_plugins_load_without_a_problem() -> None:
    plugins = load()
    assert plugins.problems == []
    assert {"lws", "full_sharing", "no_sharing", "fixed_sharing"} <= set(plugins.names("strategy"))
    assert {"dkl_convnet", "cifar_convnet", "omniglot_convnet"} <= set(plugins.names("backbone"))
    assert {"alphabets", "digits"} <= set(plugins.names("suite"))


def test_every_contribution_can_be_resolved() -> None:
    plugins = load()
    for name in plugins.names("strategy"):
        assert issubclass(plugins.strategy(name), Strategy)
    for name in plugins.names("backbone"):
        assert callable(plugins.backbone(name))
    for name in plugins.names("suite"):
        assert callable(plugins.suite(name))


def test_an_installed_plugin_is_found(install: Install) -> None:
    install("good", strategy("{'mine': Mine}"))
    plugins = load()
    assert plugins.strategy("mine").__name__ == "Mine"
    source = next(c.source for c in plugins.contributions("strategy") if c.name == "mine")
    assert (source.plugin, source.distribution) == ("good", "mtl-good")


def test_a_place_is_imported_when_used(install: Install) -> None:
    source = """
        from mtl_framework import hookimpl

        @hookimpl
        def mtl_strategies():
            return {"late": "collections:OrderedDict", "never": "no_such_module:X"}
    """
    install("late", source)
    plugins = load()
    assert plugins.problems == []
    with pytest.raises(MtlError, match=r"'late' of plugin 'late' of mtl-late should be a subclass"):
        plugins.strategy("late")
    with pytest.raises(MtlError, match=r"cannot be imported: ModuleNotFoundError: .*no_such_modu"):
        plugins.strategy("never")


def test_metadata_is_read_without_importing(install: Install) -> None:
    install("bomb", "raise RuntimeError('imported')")
    infos = entry_point_metadata(installed().entries)
    found = [info for info in infos if info.plugin == "bomb"]
    assert [(i.distribution, i.version, i.module) for i in found] == [
        ("mtl-bomb", "1.2", "installed_bomb")
    ]
    assert "installed_bomb" not in sys.modules


HOOK = "from mtl_framework import hookimpl\n@hookimpl\n"


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("import no_such_module", "", "importing installed_bad failed: ModuleNotFoundError: No mo"),
        ("raise SystemExit(3)", "", "importing installed_bad failed: SystemExit: 3"),
        ("def f(:", "", "importing installed_bad failed: SyntaxError"),
        ("class Thing: pass", "MODULE:Thing", "entry point 'installed_bad:Thing' should name a mo"),
        ("", "MODULE:missing", "importing installed_bad:missing failed: AttributeError"),
        ("", "not a module!", "not a module!"),  # read or imported, as the metadata will have it
        ("", "", "it has no hook: functions need the mark @mtl_framework.hookimpl"),
        ("def mtl_strategies(): return {}", "", "hookimpl (here mtl_strategies)"),
        (f"{HOOK}def mtl_step(run, stpe): ...", "", "mtl_step can take run, step; found 'stpe'"),
        (f"{HOOK}def mtl_suites(config): ...", "", "mtl_suites takes no argument; found 'config'"),
        (
            "from mtl_framework import hookimpl\n"
            "@hookimpl(wrapper=True)\ndef mtl_step(run):\n    return (yield)",
            "",
            "mtl_step is a wrapper",
        ),
        (
            f"{HOOK}def mtl_strategie(): return {{}}",
            "",
            "no hook 'mtl_strategie'; did you mean 'mt",
        ),
        (
            f"{HOOK}def mtl_strategies(): return 1 / 0",
            "",
            "mtl_strategies raised ZeroDivisionError",
        ),
        (
            f"{HOOK}def mtl_suites(): return ['x']",
            "",
            "mtl_suites should return a mapping, found l",
        ),
        (strategy("{'bad': 3}"), "", "strategy 'bad' should be a subclass of Strategy, found int"),
        (strategy("{'bad': dict}"), "", "should be a subclass of Strategy, found dict"),
        (strategy("{'bad': Strategy}"), "", "strategy 'bad' lacks build, optimize"),
        (strategy("{'bad': 'nonsense'}"), "", "should be an object or 'module:name', found 'nons"),
        (strategy("{'a/b': Mine}"), "", "strategy 'a/b' should have a name of letters, digits"),
        (strategy("{7: Mine}"), "", "strategy 7 should have a name of letters, digits"),
        (
            f"{HOOK}def mtl_backbones(): return {{'net': 5}}",
            "",
            "'net' should be callable, found in",
        ),
    ],
)
def test_a_broken_plugin_is_reported_and_harms_no_other(
    install: Install, source: str, value: str, reason: str
) -> None:
    install("bad", source, value=value)
    install("good", strategy("{'mine': Mine}"))
    plugins = load()
    assert [(p.plugin, p.distribution) for p in plugins.problems] == [("bad", "mtl-bad")]
    assert reason in str(plugins.problems[0])
    assert "\n" not in str(plugins.problems[0])
    assert {"mine", "lws"} <= set(plugins.names("strategy"))


def test_naming_what_a_broken_plugin_would_have_says_why_it_is_missing(install: Install) -> None:
    install("soup", "import no_such_module")
    install("stew", strategy("{'goulash': 3}"))
    plugins = load()
    for name in ("soup", "goulash"):
        with pytest.raises(MtlError, match=rf"strategy '{name}' is missing because of plugin"):
            plugins.strategy(name)
    with pytest.raises(UnknownNameError, match="not loaded: plugin 'soup' of mtl-soup: importing"):
        plugins.strategy("broth")


def test_a_taken_name_stays_with_its_holder(install: Install) -> None:
    install("b", strategy("{'lws': Mine, 'mine': Mine}"), distribution="mtl-b")
    install("a", strategy("{'mine': Mine, 'other': Mine}"), distribution="mtl-a")
    plugins = load()
    assert plugins.strategy("lws").__module__ == "mtl_lws.strategy"
    assert plugins.strategy("mine").__module__ == "installed_a"
    assert plugins.strategy("other").__module__ == "installed_a"
    assert [str(p) for p in plugins.problems] == [
        "plugin 'b' of mtl-b: strategy name 'lws' is taken by plugin 'lws' of mtl-framework",
        "plugin 'b' of mtl-b: strategy name 'mine' is taken by plugin 'a' of mtl-a",
    ]


def test_problems_are_warnings_unless_somebody_listens(install: Install) -> None:
    install("bad", "import no_such_module")
    with pytest.warns(PluginWarning, match="plugin 'bad' of mtl-bad"):
        Plugins.load()


def test_an_observer_that_raises_is_dropped(install: Install) -> None:
    source = """
        from mtl_framework import hookimpl
        calls = []

        @hookimpl
        def mtl_step(run):
            calls.append(run)
            raise ValueError("no room")
    """
    install("frail", source)
    problems: list[PluginProblem] = []
    plugins = Plugins.load(on_problem=problems.append)
    seen: list[Any] = []

    class Steady:
        @hookimpl
        def mtl_step(self, step: Any) -> None:
            seen.append(step)

    plugins.register(Steady(), "steady")
    for number in range(3):
        plugins.notify("mtl_step", run=number, step=-number)
    assert seen == [0, -1, -2]
    assert sys.modules["installed_frail"].calls == [0]
    assert [str(p) for p in problems] == [
        "plugin 'frail' of mtl-frail: mtl_step raised ValueError: no room; it gets no further calls"
    ]


def test_errors_of_an_observer_in_the_program_pass_through() -> None:
    class Frail:
        @hookimpl
        def mtl_step(self) -> None:
            raise ValueError("mine")

    plugins = Plugins()
    plugins.register(Frail(), "frail")
    with pytest.raises(ValueError, match="mine"):
        plugins.notify("mtl_step", run=None, step=None)


def test_registering_checks_before_it_changes_anything() -> None:
    class Half:
        @hookimpl
        def mtl_backbones(self) -> dict[str, Any]:
            return {"fine": nn.Identity, "odd": 3}

    plugins = Plugins()
    with pytest.raises(MtlError, match="plugin 'half' of this program: backbone 'odd' should be"):
        plugins.register(Half(), "half")
    assert plugins.names("backbone") == []
    with pytest.raises(MtlError, match="it has no hook"):
        plugins.register(SimpleNamespace(), "none")


def test_a_plugin_is_registered_once() -> None:
    class Watcher:
        @hookimpl
        def mtl_step(self) -> None:
            pass

    plugins, watcher = Plugins(), Watcher()
    plugins.register(watcher, "watcher")
    for plugin, name in ((watcher, "again"), (Watcher(), "watcher")):
        with pytest.raises(MtlError, match="registered already"):
            plugins.register(plugin, name)


def test_timm_models_are_backbones_and_plugins_come_first() -> None:
    plugins = Plugins()
    assert plugins.backbone("resnet18") is None

    class Own:
        @hookimpl
        def mtl_backbones(self) -> dict[str, Any]:
            return {"resnet18": nn.Identity}

    plugins.register(Own(), "own")
    assert plugins.backbone("resnet18") is nn.Identity
    with pytest.raises(UnknownNameError, match="did you mean 'convnext_tiny'"):
        plugins.backbone("convnext_tny")
    assert plugins.backbone("resnet10t.c3_in1k") is None
    for name, near in (("resnet10t.c3_1k", "resnet10t.c3_in1k"), ("resnet10t.", "resnet10t")):
        with pytest.raises(UnknownNameError, match=f"did you mean '{near}'"):
            plugins.backbone(name)


def make_suite(*, size: int, classes: tuple[int, ...] = (2,)) -> Suite:
    data = Examples(torch.zeros(4, 1, size, size), torch.tensor([0, 1, 0, 1]))
    tasks = [Task(f"t{n}", Classification(n), data, data) for n in classes]
    return Suite("made", tasks)


class Maker:
    @hookimpl
    def mtl_suites(self) -> dict[str, Any]:
        return {"made": make_suite, "odd": lambda: 3}


def test_a_suite_checks_its_options() -> None:
    plugins = Plugins()
    plugins.register(Maker(), "maker")
    make = plugins.suite("made")
    assert make(size="3", classes=[2, 4]).input_shape == (1, 3, 3)
    for options, message in (
        ({}, "suite.size is missing"),
        ({"size": "big"}, "suite.size should be a valid integer, found 'big'"),
        ({"size": 2, "clases": [2]}, "unknown key 'suite.clases'; did you mean 'suite.classes'?"),
        ({"size": 2, "classes": ["x"]}, r"suite.classes.0 should be a valid integer, found 'x'"),
    ):
        with pytest.raises(MtlError) as caught:
            make(**options)
        assert message in str(caught.value)
    with pytest.raises(MtlError, match="suite 'odd' of plugin 'maker' of this program should be a"):
        plugins.suite("odd")()
