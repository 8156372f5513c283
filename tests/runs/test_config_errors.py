"""What is wrong with a config, in one line that names it."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from support.pantry import Pantry, layer, resolve, settings

from mtl_framework.plugins.manager import Plugins
from mtl_framework.runs.resolve import read_file
from mtl_framework.runs.settings import parse_setting
from mtl_framework.support.errors import MtlError
from mtl_framework.support.validation import validated


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    found = Plugins()
    found.register(Pantry(), "pantry")
    return found


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
            "unknown key 'wieghts'; did you mean 'weights'? (known: augmentation,",
        ),
        (
            "augmentation.all.hflp=1",
            "key 'augmentation.all.hflp'; did you mean 'augmentation.all.hf",
        ),
        (
            "augmentation.dogs.policyy=x",
            "did you mean 'augmentation.dogs.policy'? (known in",
        ),
        (
            "metrics.all.man=f1",
            "mean 'metrics.all.main'? (known in metrics.all: main, report)",
        ),
        ("training.average.strt=1", "did you mean 'training.average.start'?"),
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
