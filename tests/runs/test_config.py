"""Configs: from YAML and the command line to a complete, validated whole, and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from mtl_framework.data.tasks import Suite
from mtl_framework.plugins.hookspecs import hookimpl
from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs import resolve as resolving
from mtl_framework.runs.config import RunConfig, dump
from mtl_framework.runs.resolve import Layer, read_file
from mtl_framework.runs.settings import parse_setting
from mtl_framework.strategies.strategy import Strategy, StrategyConfig
from mtl_framework.support.errors import MtlError
from mtl_framework.support.validation import validated
from mtl_framework.support.yamls import dump_yaml, parse_scalar


class SoupConfig(StrategyConfig):
    weights: int = Field(default=3, ge=1)
    rate: float = 0.5
    mode: Literal["slow", "fast"] = "slow"
    groups: tuple[tuple[str, ...], ...] = ()
    limit: int | None = None


class Soup(Strategy):
    Config: ClassVar[type[StrategyConfig]] = SoupConfig
    presets: ClassVar[dict[str, Any]] = {
        "paper": {
            "strategy": {"name": "soup", "weights": 20, "rate": 0.1},
            "backbone": {"name": "resnet34", "small_images": True, "args": {"drop_rate": 0.5}},
            "iterations": 4000,
        },
        "stray": {"strategy": {"name": "plain"}},
    }

    def build(self, backbone: Any, suite: Any) -> Any:
        raise NotImplementedError

    def optimize(self, run: Any) -> Any:
        raise NotImplementedError


class Plain(Soup):
    Config: ClassVar[type[StrategyConfig]] = StrategyConfig
    presets: ClassVar[dict[str, Any]] = {}


def pairs(*, count: int = 4, names: tuple[str, ...] = ("a", "b"), share: float = 0.5) -> Suite:
    raise AssertionError("a suite's options are checked without making it")


class Pantry:
    @hookimpl
    def mtl_strategies(self) -> dict[str, type[Strategy]]:
        return {"soup": Soup, "plain": Plain}

    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        return {"pairs": pairs, "anything": lambda **options: pairs()}


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    found = Plugins()
    found.register(Pantry(), "pantry")
    return found


def resolve(*arguments: Any) -> RunConfig:
    return resolving.resolve(*arguments).config


def layer(**values: Any) -> Layer:
    return Layer({"strategy": "soup", "suite": "pairs", **values})


def settings(*texts: str) -> list[Any]:
    return [parse_setting(text) for text in texts]


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("iterations=0", "iterations should be greater than or equal to 1, found 0"),
        ("iterations=x", "iterations should be a valid integer, found 'x'"),
        ("seed=-1", "seed should be greater than or equal to 0, found -1"),
        (
            "precision=fp23",
            "precision should be 'fp32' or 'bf16', found 'fp23'; did you mean",
        ),
        ("device=gpu", "device should be auto, cpu, mps, cuda or cuda:N, found 'gpu'"),
        ("backbone.granularity=blok", "did you mean 'block'?"),
        ("backbone.grnularity=block", "unknown key 'backbone.grnularity'; did you mean 'backbone."),
        ("backbone.shared=3", "backbone.shared should be a list, found 3"),
        ("weights=0", "strategy.weights should be greater than or equal to 1, found 0"),
        ("strategy.wieghts=2", "unknown key 'strategy.wieghts'; did you mean 'strategy.weights'?"),
        (
            "wieghts=2",
            "unknown key 'wieghts'; did you mean 'weights'? (known: backbone,",
        ),
        ("itertions=2", "unknown key 'itertions'; did you mean 'iterations'?"),
        ("mode=fst", "strategy.mode should be 'slow' or 'fast', found 'fst'; did you mean 'fast'?"),
        ("rate=.inf", "strategy.rate should be a finite number, found inf"),
        (
            "suite.cont=3",
            "unknown key 'suite.cont'; did you mean 'suite.count'? (known in",
        ),
        ("suite.count=many", "suite.count should be a valid integer, found 'many'"),
        ("suite=pears", "unknown suite 'pears'; did you mean 'pairs'?"),
        ("suite=3", "suite.name should be a name, found 3"),
        ("strategy=sup", "unknown strategy 'sup'; did you mean 'soup'?"),
        ("backbone=resnet81", "unknown backbone 'resnet81'; did you mean 'resnet18'?"),
        ("preset=papr", "unknown preset 'papr'; did you mean 'paper'?"),
        ("preset=stray", "preset 'stray' of strategy 'soup' is for strategy 'plain'"),
        ("strategy.name.x=3", "--set strategy.name.x: strategy.name is 'soup', which has no keys"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(plugins: Plugins, text: str, message: str) -> None:
    with pytest.raises(MtlError) as caught:
        resolve(plugins, [layer()], settings(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["iterations", "=3", "a..b=3", "a=[1", ".=1"])
def test_settings_that_are_none(text: str) -> None:
    with pytest.raises(MtlError, match="--set"):
        parse_setting(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("iterations: 3\nseed: many\n", "run.yaml:2: seed should be a valid integer, found 'many'"),
        ("suite:\n  name: pairs\n  cuont: 1\n", "run.yaml:3: unknown key 'suite.cuont'"),
        ("strategy:\n  name: soup\n\n  weights: 0\n", "run.yaml:4: strategy.weights should be gr"),
        ("backbone:\n  granularity: x\n", "run.yaml:2: backbone.granularity should be"),
        ("iteration: 3\n", "run.yaml:1: unknown key 'iteration'; did you mean 'iterations'?"),
        ("seed: 1\nsuite: [a]\n", "run.yaml:2: suite should be a name, or a mapping"),
        ("seed: 1\nseed: 2\n", "run.yaml:2: key 'seed' occurs twice"),
        ("seed: 1\n  x: [\n", "run.yaml:2: not valid YAML"),
        ("- seed\n", "run.yaml: should hold keys and values, found list"),
        ("!!python/object/apply:os.getcwd []\n", "run.yaml:1: not valid YAML"),
    ],
)
def test_faults_of_a_file_are_found_by_line(
    plugins: Plugins, tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content)
    with pytest.raises(MtlError) as caught:
        resolve(plugins, [layer(), read_file(file)])
    assert message in str(caught.value)


def test_command_line_is_not_blamed_on_the_file(plugins: Plugins, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seed: 1\n")
    with pytest.raises(MtlError, match=r"^seed should be"):
        resolve(plugins, [layer(), read_file(file)], settings("seed=-3"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"cannot read config file .*none\.yaml: No such file"):
        read_file(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MtlError, match="not UTF-8"):
        read_file(tmp_path / "bytes.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_file(tmp_path / "empty.yaml").values == {}


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


class Kinds(BaseModel):
    number: Literal["one", "two"] | None = None
    pair: tuple[int, int] = (0, 0)
    size: int | Literal["auto"] = "auto"
    name: str = Field(default="abc", min_length=3, max_length=4, pattern="a.*")
    flag: bool = False
    many: list[float] = Field(default=[], max_length=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"number": "onne"}, "number should be 'one' or 'two', found 'onne'; did you mean 'one'?"),
        ({"pair": 3}, "pair should be a list, found 3"),
        ({"pair": [1, "x"]}, "pair.1 should be a valid integer, found 'x'"),
        ({"size": "big"}, "size should be a valid integer or 'auto', found 'big'"),
        ({"name": "a"}, "name should have at least 3 characters, found 'a'"),
        ({"name": "abcde"}, "name should have at most 4 characters, found 'abcde'"),
        ({"name": "xbc"}, "name should match a.*, found 'xbc'"),
        ({"flag": "perhaps"}, "flag should be a valid boolean, found 'perhaps'"),
        ({"many": [1, 2, 3]}, "many should have at most 2 entries, found [1, 2, 3]"),
        ({"many": list(range(99))}, "found a list of 99 entries"),
        ({"size": 2**70000}, None),
        ({"size": [2**70000]}, "found [an integer of 70001 bits]"),
    ],
)
def test_kinds_of_errors_are_worded_here(values: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert validated(Kinds, values).size == values["size"]
        return
    with pytest.raises(MtlError) as caught:
        validated(Kinds, values)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250
