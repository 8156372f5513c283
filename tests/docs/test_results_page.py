"""The comparisons behind docs/results.md can be repeated, and their tables find their places."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl_framework.comparisons.config import read_comparison
from mtl_framework.plugins.manager import Plugins

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CONFIGS = [
    *sorted((EXAMPLES / "paper").glob("*.yaml")),
    *map(EXAMPLES.joinpath, ("scenes.yaml", "recipe.yaml")),
]
PAGE = ROOT / "docs" / "results.md"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random files with the keys, shapes and types of the real ones."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name, classes in (("digits", 10), ("letters", 26), ("kuzushiji", 10)):
        arrays[f"{name}_images"] = draw.integers(0, 256, (12_000, 28, 28), dtype=np.uint8)
        arrays[f"{name}_labels"] = (np.arange(12_000) % classes).astype(np.uint8)
    np.savez_compressed(folder / "dkl_mnist_variant.npz", **arrays)
    fine = np.repeat(np.arange(100, dtype=np.uint8), 5)
    arrays = {"coarse_names": np.array([f"group{n}" for n in range(20)])}
    for split in ("train", "test"):
        arrays[f"{split}_images"] = draw.integers(0, 256, (500, 32, 32, 3), dtype=np.uint8)
        arrays[f"{split}_fine"], arrays[f"{split}_coarse"] = fine, fine // 5
    np.savez_compressed(folder / "tiny_imagenet32_coarse20.npz", **arrays)
    return folder


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid_and_has_its_place_on_the_page(config: Path) -> None:
    comparison = read_comparison(config, Plugins.load())
    assert comparison.variants
    places = re.findall(rf"<!-- (?:table|seeds): {config.stem} -->", PAGE.read_text())
    assert len(places) == 1
    command = re.search(r"mtl compare (\S+)", config.read_text())
    assert command is not None
    assert command[1] == config.relative_to(ROOT).as_posix()


def test_the_page_has_no_table_without_a_config() -> None:
    found = re.findall(r"<!-- table: (\S+) -->", PAGE.read_text())
    assert len(set(found)) == len(found)
    assert set(found) <= {path.stem for path in CONFIGS}


@pytest.mark.long
def test_a_few_steps_of_networks_of_different_kinds(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, str(ROOT / "tools" / "results.py"), "--smoke", "--output",
            str(tmp_path), "three_modalities",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for strategy in ("single tasks", "MUiR"):
        assert re.search(rf"^\| \**{strategy}\** \| 1 \|", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("tiny_imagenet", marks=pytest.mark.long),
        pytest.param("dkl_reestimated", marks=pytest.mark.slow),
    ],
)
def test_a_few_steps_of_a_comparison(name: str, data_root: Path, tmp_path: Path) -> None:
    before = PAGE.read_bytes()
    done = subprocess.run(
        [
            sys.executable, str(ROOT / "tools" / "results.py"), "--smoke", "--data-root",
            str(data_root), "--output", str(tmp_path), name,
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert PAGE.read_bytes() == before
    for strategy in ("full sharing", "no sharing", "learned sharing"):
        pattern = rf"^\| \**{strategy}\** \| 1 \| \d+\.\d\d "
        assert re.search(pattern, done.stdout, re.MULTILINE)
    assert "Iterations: 2." in done.stdout


def test_a_contradicted_comparison_does_not_keep_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    results = importlib.import_module("results")
    names = results.names(["dkl", "pta"])
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "comparison.json").write_text("{}")
    kept = []

    def keep(name: str, folder: Path) -> None:
        kept.append((name, folder))
        if name == names[0]:
            raise results.measured.ContradictionError(f"{name}: says something else")

    monkeypatch.setattr(results, "keep", keep)
    monkeypatch.setattr(sys, "argv", ["results.py", "--tables", "--output", str(tmp_path), *names])
    with pytest.raises(SystemExit, match=f"^{names[0]}: says something else$"):
        results.main()
    assert kept == [(name, tmp_path / name) for name in names]
