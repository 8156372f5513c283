"""Configs that are odd, hostile or broken end in one line that names the place."""

import random
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import TinyPlugins, start

from mtl_framework.comparisons.config import read_comparison
from mtl_framework.runs.resolve import Layer, read_file, resolve
from mtl_framework.runs.settings import parse_setting
from mtl_framework.support.arguments import check_arguments
from mtl_framework.support.errors import MtlError
from mtl_framework.support.validation import dotted
from mtl_framework.support.yamls import MOST_BYTES, MOST_DEPTH, read_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "[" * 4000, f":1: nested more than {MOST_DEPTH} levels deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(50)), f":{MOST_DEPTH}: nested more than"),
        (LAUGHS, "entries, those that aliases repeat included"),
        ("seed: 1\na: &a [*a]", ":2: an alias stands within what it repeats"),
        ("a: &a\n  b: *a", "an alias stands within"),
        ("x: &x\n  <<: *x", "an alias stands within"),
        ("a: *b", ":1: not valid YAML (found undefined alias 'b')"),
        ("a: !!timestamp foo", ":1: not valid YAML (the tag '!!timestamp' is none of a plain"),
        ("seed: !!int ''", ":1: not valid YAML ('' is no int)"),
        ("seed: !!int [1]", "the tag '!!int' is none"),
        ("a: !!binary x", "the tag '!!binary'"),
        ("a: !!set {x}", "the tag '!!set'"),
        ("seed: 1\n? [1, 2]\n: 3", ":2: a key should be a text"),
        ("<<: 3", ":1: << should be followed by mappings"),
        ("a: " + "9" * 5000, "is no int)"),
        ("a: 1\n---\nb: 2", ":2: not valid YAML"),
        ("\n".join(f"k{n}: 1" for n in range(12_000)), "more than 20,000 entries"),
        ("#" * (MOST_BYTES + 1), "bytes long, a config file at most"),
    ],
)
def test_what_no_config_holds_is_refused_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(MtlError) as caught:
        read_yaml(file)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_plain_values_stay_what_is_written(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n0: [2020-01-01, 010, 12:30, 1_0]\n")
    values, lines = read_yaml(file)
    assert values["y"] == {"a": 1, "b": 3}
    assert values["0"] == ["2020-01-01", "010", "12:30", 10]
    assert lines["y", "b"] == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": ["a"]}, "preset should be a name, found ['a']"),
        ({"strategy": {"name": ["soft"]}}, "strategy.name should be a name"),
        ({"strategy": {"name": {"a": 1}}}, "strategy.name should be a name"),
        ({"strategy": None}, "strategy should be a name, or a mapping"),
        ({"batch_size": 2**70}, "batch_size should be less than or equal to 2147483647"),
        ({"iterations": 10**400}, "found an integer of 1329 bits"),
        ({"seed": 1e30}, "seed should be"),
        ({"observers": [{"x": 1}]}, "observers.0.name is missing"),
        ({"observers": {"a": 1}}, "observers should be a list"),
        ({"backbone": {"args": [1]}}, "backbone.args should be a mapping"),
        ({"task_backbones": {"a": 3}}, "task_backbones.a should be a mapping"),
    ],
)
def test_odd_values_are_named(values: dict[str, object], message: str) -> None:
    whole = {"strategy": "soft", "suite": "tiny", "backbone": "tiny", **values}
    with pytest.raises(MtlError) as caught:
        resolve(TinyPlugins(), [Layer(whole)])
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: 1000000000", "seeds should be from 1 to 10000, or a list of seeds"),
        ("seeds: 1e9", "seeds should be from 1 to 10000, or a list of seeds"),
        ("seeds: 10000\nsuites: [{name: tiny, as: a}, {name: tiny, as: b}]", None),
    ],
)
def test_comparisons_are_bounded(tmp_path: Path, text: str, message: str | None) -> None:
    file = tmp_path / "c.yaml"
    strategies = ", ".join(f"{{name: soft, as: s{n}}}" for n in range(6))
    file.write_text(f"strategies: [{strategies}]\nbackbone: tiny\n{text}\n")
    with pytest.raises(MtlError, match=message or "120,000 runs are more than 100,000"):
        read_comparison(file, TinyPlugins())


def test_a_batch_larger_than_the_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"batch_size 2000000000 is too large: inputs of one batch"):
        start(tmp_path / "r", batch_size=2_000_000_000)
    assert not (tmp_path / "r").exists()


GOOD = """\
strategy: {name: soft, learning_rate: 0.1}
suite:
  name: tiny
  examples: 24
backbone: {name: tiny, shared: [stem], args: {}}
iterations: 3
observers: []
device: cpu
"""


FOLDER = Path()  # of the test below, which hypothesis runs many times
PLUGINS = TinyPlugins()


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_mutated_configs_resolve_or_say_why(seed: int, changes: int) -> None:
    """Random edits of a good file: each gives a config, or a line."""
    draw = random.Random(seed)
    odd = ["[", "]", "{", "}", "&a ", "*a", "!!int ", "!!str ", "? ", "~", "\t", "1e9", ": ", "- "]
    odd += ["<<: ", "\x00", "\ud7ff", "''", '"', "\n", "0x", "null", "9" * 30, "name", "preset: x"]
    text = GOOD
    for _ in range(changes):
        place = draw.randrange(len(text) + 1)
        cut = draw.choice([0, 0, 1, 5, 20])
        piece = draw.choice([*odd, draw.choice(string.printable)])
        text = text[:place] + piece + text[place + cut :]
    file = FOLDER / "c.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    said = ""
    try:
        resolve(PLUGINS, [read_file(file)])
    except MtlError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 1500


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("odd")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('suite.kinds."a.b"=1', ("suite", "kinds", "a.b")),
        ("suite.kinds.'a.b'=1", ("suite", "kinds", "a.b")),
        ('suite.kinds."a=b".c=1', ("suite", "kinds", "a=b", "c")),
        (r'suite.kinds."say \"x\" \\"=1', ("suite", "kinds", 'say "x" \\')),
        ("suite.kinds.it's [kg]=1", ("suite", "kinds", "it's [kg]")),
        (" a . b =1", ("a", "b")),
    ],
)
def test_names_with_dots_are_quoted(text: str, key: tuple[str, ...]) -> None:
    setting = parse_setting(text)
    assert (setting.key, setting.value) == (key, 1)


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=4))
def test_every_key_can_be_said_on_the_command_line(key: list[str]) -> None:
    assert parse_setting(f"{dotted(key)}=1").key == tuple(key)


@pytest.mark.parametrize("text", ['"a=1', 'a."b"c=1', "a.'b=1", '"a"', ".=1", 'a.""b=1'])
def test_broken_quotes_are_refused(text: str) -> None:
    with pytest.raises(MtlError, match="put a name with dots in quotes"):
        parse_setting(text)


def test_a_number_where_a_name_is_wanted_is_that_name() -> None:
    def build(
        tasks: tuple[str, ...] | None = None, sizes: dict[str, int] | None = None
    ) -> None: ...

    assert check_arguments(build, {"tasks": [0, "b"]}, ())["tasks"] == ("0", "b")
    assert check_arguments(build, {"sizes": {"0": 3}}, ())["sizes"] == {"0": 3}
    with pytest.raises(MtlError, match="tasks"):
        check_arguments(build, {"tasks": [True]}, ())
