"""The benchmark of truth: every config is valid with both recipes and budgets, without its data."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.programs import load_program

from mtl_framework.comparisons.config import check_comparison
from mtl_framework.plugins.manager import Plugins

FOLDER = Path(__file__).parents[2] / "examples" / "benchmark"


BENCHMARK = load_program(FOLDER / "run.py")
SUITES = sorted(BENCHMARK.SECONDS)
ALL_RECIPES = (*BENCHMARK.RECIPES, *BENCHMARK.FURTHER_RECIPES)
IDEAS = ("ideas_alphabets", "ideas_two_groups")
FURTHER = ("ideas_common", "price")


def test_every_config_belongs_to_a_suite() -> None:
    files = {path.stem for path in FOLDER.glob("*.yaml")}
    recipes = {f"{recipe}_recipe" for recipe in ALL_RECIPES if recipe != "plain"}
    assert files == {*SUITES, *recipes, *IDEAS, *FURTHER}


@pytest.mark.parametrize("suite", SUITES)
def test_configs_are_valid_and_alike(suite: str) -> None:
    text = (FOLDER / f"{suite}.yaml").read_text()
    command = re.search(r"mtl compare (\S+)", text)
    assert command is not None
    assert command[1] == f"examples/benchmark/{suite}.yaml"
    plugins = Plugins.load()
    for recipe in ALL_RECIPES:
        for budget in BENCHMARK.BUDGETS:
            values = BENCHMARK.config_of(suite, recipe, budget)
            comparison = check_comparison(values, suite, plugins)
            settings, variants = comparison.settings, comparison.variants
            assert {"full sharing", "no sharing", "by hand", "learned (paper)"} <= {
                variant.strategy for variant in variants
            }
            assert set(settings.controls) == {"retrained", "permuted", "roaming"}
            assert len(settings.seeds) >= 5
            assert (settings.seconds is not None) == (budget == "time")
            good = {v.config.training.average is not None for v in variants}
            assert good == {recipe == "good"}


@pytest.mark.parametrize("stem", FURTHER)
def test_further_configs_are_valid(stem: str) -> None:
    text = (FOLDER / f"{stem}.yaml").read_text()
    assert f"mtl compare examples/benchmark/{stem}.yaml" in text
    variants = check_comparison(yaml.safe_load(text), stem, Plugins.load()).variants
    assert {"full sharing", "no sharing"} <= {variant.strategy for variant in variants}


def test_ideas_are_tried_alike_on_both_suites() -> None:
    """The same options on both, each idea alone, and each taken from or added to the defaults."""
    plugins, names = Plugins.load(), []
    for stem in IDEAS:
        text = (FOLDER / f"{stem}.yaml").read_text()
        assert f"mtl compare examples/benchmark/{stem}.yaml" in text
        variants = check_comparison(yaml.safe_load(text), stem, plugins).variants
        names.append([(v.strategy, v.config.strategy) for v in variants])
    assert names[0] == names[1]
    options = {name: dict(choice) for name, choice in names[0]}
    changed = {
        name: {key for key in options[name] if options[name][key] != options[base].get(key)}
        for base, kinds in (("one sample of the weights", "alone"), ("defaults", "with"))
        for name in options
        if name.startswith(kinds) and "gumbel" not in name
    }
    assert len(changed) > 20
    assert {len(keys) for keys in changed.values()} == {1}, changed


def test_a_suites_own_keys_win_over_the_recipe() -> None:
    below = {"training": {"learning_rate": 1, "average": 2}, "device": "cuda"}
    merged = BENCHMARK.merged(below, {"training": {"learning_rate": 3}, "device": "cpu"})
    assert merged == {"training": {"learning_rate": 3, "average": 2}, "device": "cpu"}
    good = BENCHMARK.config_of("two_groups", "good", "examples")["training"]
    assert good["learning_rate"] == 0.01
    assert good["schedule"]["name"] == "cosine"


@pytest.mark.long
def test_one_command_runs_what_it_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, str(FOLDER / "run.py"), "two_groups", "--recipes", "good",
            "--budgets", "time", "--output", str(tmp_path), "--seeds", "1", "--dry-run",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "8 runs are left: about" in done.stdout
    assert "these are pilots" in done.stdout
    written = yaml.safe_load((tmp_path / "two_groups-good-time.yaml").read_text())
    assert written["seconds"] == BENCHMARK.SECONDS["two_groups"]


def test_unknown_suites_and_missing_data_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words, message in {
        ("dlk",): "unknown suite 'dlk'; there are alphabets, dkl, ",
        ("dkl",): "dkl reads data: name its folder with --data-root",
    }.items():
        monkeypatch.setattr(sys, "argv", ["run.py", *words, "--output", str(tmp_path)])
        with pytest.raises(SystemExit):
            BENCHMARK.main()
        assert message in capsys.readouterr().err
