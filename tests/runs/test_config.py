"""Configs: from YAML and the command line to a complete, validated whole, and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.pantry import Pantry, Soup, SoupConfig, layer, pairs, resolve, settings

from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs import resolve as resolving
from mtl_framework.runs.config import RunConfig, dump
from mtl_framework.runs.resolve import Layer, read_file
from mtl_framework.runs.settings import parse_setting
from mtl_framework.support.errors import MtlError
from mtl_framework.support.yamls import dump_yaml, parse_scalar


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    found = Plugins()
    found.register(Pantry(), "pantry")
    return found


NAMES = st.text("abcdefgh_", min_size=1, max_size=6).filter(lambda name: name != "name")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=12)
    | st.sampled_from(["1e-3", "no", "1_000", "0o7", "12:30", "~", "2020-01-01", "# x", "a: b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(
    options=st.dictionaries(NAMES, PLAIN, max_size=4),
    args=st.dictionaries(NAMES, PLAIN, max_size=3),
    shared=st.lists(st.text("abc.*", min_size=1), max_size=3),
    iterations=st.integers(1, 10**6),
    budget=st.none() | st.integers(1, 10**5),
)
def test_dumped_config_reads_back_as_itself(
    tmp_path_factory: pytest.TempPathFactory,
    options: dict[str, Any],
    args: dict[str, Any],
    shared: list[str],
    iterations: int,
    budget: int | None,
) -> None:
    config = RunConfig.model_validate(
        {
            "strategy": {"name": "soup", **options},
            "backbone": {"args": args, "shared": shared},
            "iterations": iterations,
            "memory_budget": budget,
        }
    )
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(dump(config), encoding="utf-8")
    assert RunConfig.model_validate(read_file(file).values) == config


@given(PLAIN)
@example("\x85 \u2028")
def test_any_plain_value_can_be_written_as_a_setting(value: Any) -> None:
    assert parse_scalar(dump_yaml(value), "here") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("-2E5", -2e5), ("3", 3), (".5", 0.5), ("true", True), ("null", None)],
)
def test_values_are_yaml_with_exponents(text: str, value: Any) -> None:
    found = parse_setting(f"a.b={text}")
    assert (found.key, found.value) == (("a", "b"), value)
    assert type(found.value) is type(value)


def test_complete_config_holds_all_options(plugins: Plugins) -> None:
    config = resolve(plugins, [layer()])
    assert config.strategy.options == {
        "weights": 3, "rate": 0.5, "mode": "slow", "groups": [], "limit": None,
    }  # fmt: skip
    assert config.suite.options == {"count": 4, "names": ["a", "b"], "share": 0.5}


def test_complete_config_is_complete(plugins: Plugins, tmp_path: Path) -> None:
    config = resolve(
        plugins,
        [layer(preset="paper")],
        settings("groups=[[x, y], [z]]", "suite.names=[c]", "backbone.args.depth=2"),
    )
    (tmp_path / "config.yaml").write_text(dump(config))
    again = resolve(plugins, [read_file(tmp_path / "config.yaml")])
    assert again == config
    assert "preset" not in dump(config)


def test_a_preset_may_stand_within_the_strategy_as_in_comparisons(plugins: Plugins) -> None:
    wanted = resolve(plugins, [layer(preset="paper")])
    within = {"name": "soup", "preset": "paper"}
    assert resolve(plugins, [layer(strategy=within)]) == wanted
    assert resolve(plugins, [layer()], settings("strategy.preset=paper")) == wanted
    above = layer(preset="paper", strategy={"name": "soup", "preset": "another"})
    assert resolve(plugins, [above]) == wanted
    with pytest.raises(MtlError, match=r"unknown preset 'papr'; did you mean 'paper'\?"):
        resolve(plugins, [layer(strategy={"name": "soup", "preset": "papr"})])


def test_later_layers_win(plugins: Plugins) -> None:
    file = layer(preset="paper", iterations=7, strategy={"name": "soup", "rate": 0.2}, seed=1)
    flags = Layer({"seed": 2})
    config = resolve(plugins, [file, flags], settings("eval_every=9", "strategy.mode=fast"))
    assert config.iterations == 7  # file over preset
    assert config.seed == 2  # flag over file
    assert config.eval_every == 9
    assert config.strategy.options["weights"] == 20  # preset over default
    assert config.strategy.options["rate"] == 0.2
    assert config.strategy.options["mode"] == "fast"
    assert (config.backbone.name, config.backbone.small_images) == ("resnet34", True)


def test_bare_key_is_an_option_of_the_strategy(plugins: Plugins) -> None:
    config = resolve(plugins, [layer()], settings("weights=5", "iterations=2", "preset=paper"))
    assert config.strategy.options["weights"] == 5
    assert config.iterations == 2
    assert config.strategy.options["rate"] == 0.1


def test_options_of_another_strategy_are_dropped(plugins: Plugins) -> None:
    file = layer(strategy={"name": "soup", "weights": 9}, suite={"name": "pairs", "count": 8})
    config = resolve(plugins, [file, Layer({"strategy": "plain", "suite": "anything"})])
    assert (config.strategy.name, config.strategy.options) == ("plain", {})
    assert (config.suite.name, config.suite.options) == ("anything", {})
    same = resolve(plugins, [file], settings("strategy=soup"))
    assert same.strategy.options["weights"] == 9


def test_arguments_of_another_backbone_are_dropped(plugins: Plugins) -> None:
    file = layer(backbone={"name": "resnet34", "granularity": "stage", "args": {"drop_rate": 0.1}})
    other = resolve(plugins, [file, Layer({"backbone": "resnet18"})])
    assert (other.backbone.args, other.backbone.granularity) == ({}, "stage")
    more = resolve(plugins, [layer(preset="paper"), Layer({})], settings("backbone.args.x=1"))
    assert more.backbone.args == {"drop_rate": 0.5, "x": 1}
    assert Soup.presets["paper"]["backbone"]["args"] == {"drop_rate": 0.5}


def test_one_pattern_need_not_be_a_list(plugins: Plugins) -> None:
    config = resolve(plugins, [layer()], settings("backbone.shared=layer1.*"))
    assert config.backbone.shared == ("layer1.*",)


def test_options_of_a_suite_are_understood_by_their_older_names(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "older_names", {"amount": "count"}, raising=False)
    options = resolve(plugins, [layer(suite={"name": "pairs", "amount": 7})]).suite.options
    assert options == {"count": 7, "names": ["a", "b"], "share": 0.5}
    with pytest.raises(
        MtlError, match=r"suite\.amount is the older name of suite\.count; give one"
    ):
        resolve(plugins, [layer(suite={"name": "pairs", "amount": 7, "count": 7})])
    with pytest.raises(MtlError, match=r"suite\.count"):  # as it is called now
        resolve(plugins, [layer(suite={"name": "pairs", "amount": "many"})])


def test_a_resolved_config_is_not_completed_again(plugins: Plugins) -> None:
    first = resolving.resolve(plugins, [layer(preset="paper")])
    assert resolving.resolved(first, plugins) is first
    assert (first.strategy_class, type(first.options)) == (Soup, SoupConfig)
    assert first.options.model_dump(mode="json") == first.config.strategy.options
    again = resolving.resolved(first.config, plugins)
    assert again == first
    older = first.config.model_dump(mode="json")
    del older["strategy"]["limit"], older["suite"]["share"]
    assert resolving.completed(older, plugins) == first.config.model_dump(mode="json")
    strange = {"strategy": {"name": "gone"}}
    assert resolving.completed(strange, plugins) is strange


class Watching:
    @hookimpl
    def mtl_observers(self) -> dict[str, Callable[..., object]]:
        def watch(every: int = 5, path: str | None = None) -> object:
            raise AssertionError("an observer's options are checked without making it")

        return {"watch": watch}


def test_options_of_observers_are_completed_and_checked() -> None:
    plugins = Plugins()
    plugins.register(Pantry(), "pantry")
    plugins.register(Watching(), "watching")
    config = resolve(plugins, [layer(observers=["watch", {"name": "watch", "every": 2}])])
    assert [o.options for o in config.observers] == [
        {"every": 5, "path": None},
        {"every": 2, "path": None},
    ]
    with pytest.raises(MtlError, match=r"observers\.0\.every should be a valid integer"):
        resolve(plugins, [layer(observers=[{"name": "watch", "every": "x"}])])
