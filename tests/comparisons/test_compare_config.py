"""A comparison's file: what it means, and everything that is wrong with it at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.tiny import TinyPlugins, tiny_suite

from mtl_framework import hookimpl
from mtl_framework.comparisons.config import read_comparison
from mtl_framework.comparisons.grid import identity, make_grid
from mtl_framework.comparisons.problems import ConfigProblemsError
from mtl_framework.data.tasks import Suite
from mtl_framework.support.errors import MtlError

GOOD = """
suites: [tiny, {name: tiny, as: bare, validation: false}]
backbone: tiny
strategies:
  - soft
  - {name: soft, as: quick, learning_rate: 0.5}
seeds: [3, 1]
iterations: 6
device: cpu
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigProblemsError) as caught:
        read_comparison(write(folder, text), TinyPlugins())
    return [problem.removeprefix(str(folder / "c.yaml")) for problem in caught.value.problems]


def test_lists_multiply_out(tmp_path: Path) -> None:
    cells = make_grid(read_comparison(write(tmp_path, GOOD), TinyPlugins()))
    found = [
        (c.seed, c.suite, c.strategy, c.config.strategy.options["learning_rate"]) for c in cells
    ]
    assert found == [
        (seed, suite, strategy, rate)
        for seed in (3, 1)
        for suite in ("tiny", "bare")
        for strategy, rate in (("soft", 0.1), ("quick", 0.5))
    ]
    assert {c.config.iterations for c in cells} == {6}
    assert {c.config.suite.options["validation"] for c in cells if c.suite == "bare"} == {False}


def test_a_number_of_seeds_counts_from_zero(tmp_path: Path) -> None:
    text = GOOD.replace("[3, 1]", "3")
    comparison = read_comparison(write(tmp_path, text), TinyPlugins())
    assert comparison.settings.seeds == (0, 1, 2)


def test_overrides_win(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    comparison = read_comparison(path, TinyPlugins(), {"seeds": 1, "iterations": 2, "device": None})
    cells = make_grid(comparison)
    assert {(c.seed, c.config.iterations, c.config.device) for c in cells} == {(0, 2, "cpu")}


def test_all_faults_are_told_with_their_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
suites: [tiny, tinny]
backbone: {name: tiny, granularity: blok}
strategies:
  - {name: soft, learning_rate: fast}
  - name: soft
    as: other
    speed: 3
  - sofd
seeds: [1, 1]
iteratons: 3
eval_every: 0
baseline: nobody
""",
    )
    starts = [":1: unknown suite 'tinny'; did you mean 'tiny'",
              ":2: backbone.granularity should be 'block' or 'stage', found 'blok'",
              ":4: strategies.0.learning_rate should be a valid number, found 'fast'",
              ":7: unknown key 'strategies.1.speed'",
              ":8: unknown strategy 'sofd'; did you mean 'soft'",
              ":9: seeds should name every seed once",
              ":10: unknown key 'iteratons'; did you mean 'iterations'",
              ":11: eval_every should be greater than or equal to 1, found 0",
              ":12: baseline: unknown strategy 'nobody'"]  # fmt: skip
    assert len(found) == len(starts), found
    for text, start in zip(found, starts, strict=True):
        assert text.startswith(start)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds: [3, 1]", "seeds: 0"), "seeds should be from 1 to 10000"),
        (("device: cpu", "device: cuda:1"), "--gpus-per-run"),
        (("  - soft\n", "  - 7\n"), "strategies.0 should be a name, or a mapping with a name"),
        (("as: quick, learning_rate: 0.5", "as: quick"), "have the same config"),
        (("as: quick, ", ""), "'soft' occurs twice"),
        (("name: soft, as: quick", "name: soft, as: ''"), "as should be a short text"),
        (("learning_rate: 0.5", "preset: paper"), "unknown preset 'paper'"),
        (("backbone: tiny", "backbone: {name: tiny, preset: x}"), "only strategies have presets"),
        (("backbone: tiny", "backbone: tiny\nbackbones: [tiny]"), "exclude each other"),
        (("[tiny, {name", "[{name: tiny, size: 3}, {name"), "unknown key 'suites.0.size'"),
    ],
)
def test_single_faults(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    found = problems(tmp_path, GOOD.replace(*change))
    assert any(message in text for text in found), found


def test_no_strategies_is_a_fault(tmp_path: Path) -> None:
    assert problems(tmp_path, "seeds: 1\n") == [": strategies is missing: name those to compare"]


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MtlError, match=r"c\.yaml:3: not valid YAML"):
        read_comparison(write(tmp_path, "a: 1\nb: [\n"), TinyPlugins())


def test_identity_is_the_config_and_not_its_name(tmp_path: Path) -> None:
    cells = make_grid(read_comparison(write(tmp_path, GOOD), TinyPlugins()))
    folders = {c.folder for c in cells}
    assert len(folders) == len(cells)
    renamed = make_grid(
        read_comparison(write(tmp_path, GOOD.replace("as: quick", "as: fast")), TinyPlugins())
    )
    assert {c.folder for c in renamed} == folders
    slower = make_grid(
        read_comparison(
            write(tmp_path, GOOD.replace("iterations: 6", "iterations: 7")), TinyPlugins()
        )
    )
    assert not {c.folder for c in slower} & folders
    config = cells[0].config
    assert identity(config.model_copy(update={"log_every": 77})) == identity(config)
    assert identity(config.model_copy(update={"batch_size": 77})) != identity(config)


class FilesPlugin:
    @hookimpl
    def mtl_suites(self) -> dict[str, Callable[..., Suite]]:
        def filed(*, data_root: str = ".", level: int = 1) -> Suite:
            return tiny_suite()

        return {"filed": filed}


def test_data_root_goes_to_suites_that_read_files_and_changes_no_cell(tmp_path: Path) -> None:
    text = GOOD.replace("{name: tiny, as: bare, validation: false}", "{name: filed, level: 2}")
    plugins = TinyPlugins()
    plugins.register(FilesPlugin(), "files")
    path = write(tmp_path, text)
    before = make_grid(read_comparison(path, plugins))
    after = make_grid(read_comparison(path, plugins, {"suite.data_root": "/elsewhere"}))
    assert [c.folder for c in before] == [c.folder for c in after]
    roots = {c.suite: c.config.suite.options.get("data_root") for c in after}
    assert roots == {"tiny": None, "filed": "/elsewhere"}
    with pytest.raises(MtlError, match="--data-root is given, but tiny, bare reads no files"):
        read_comparison(write(tmp_path, GOOD), plugins, {"suite.data_root": "/elsewhere"})


def test_an_entry_may_have_a_recipe_of_its_own(tmp_path: Path) -> None:
    text = """
suite: tiny
backbone: tiny
strategies:
  - learned
  - name: learned
    as: good
    with: {training: {optimizer: adamw, clip: 2}, objectives: {all: {label_smoothing: 0.1}}}
training: {clip: 1.0, weight_decay: 0.1}
iterations: 6
"""
    plugins = TinyPlugins()
    cells = make_grid(read_comparison(write(tmp_path, text), plugins, {"iterations": 4}))
    plain, good = (c.config for c in cells[:2])
    assert (plain.training.clip, good.training.clip) == (1.0, 2.0)
    assert plain.training.optimizer is None
    assert good.training.optimizer is not None
    assert (good.training.optimizer.name, good.training.weight_decay) == ("adamw", 0.1)
    assert good.objectives == {"all": {"label_smoothing": 0.1}}
    assert (plain.iterations, good.iterations) == (4, 4)
    assert len({identity(c.config) for c in cells}) == len(cells)
    wrong = text.replace("clip: 2", "clips: 2").replace("objectives:", "objective:")
    found = problems(tmp_path, wrong)
    assert any("strategies.1.with.training.clips" in line for line in found)
    assert any("strategies.1.with.objective'" in line for line in found)
    assert problems(tmp_path, text.replace("with:", "with: 3 #"))[0].endswith("found 3")
