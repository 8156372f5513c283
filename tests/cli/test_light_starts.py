"""Commands start fast: they import only what they use."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


HEAVY = (
    "torch", "timm", "numpy", "torchvision", "torchmetrics", "scipy", "sklearn", "matplotlib",
    "pandas", "PIL", "onnx", "optuna", "ray",
)  # fmt: skip


def imported_by(commands: list[list[str]]) -> list[str]:
    """Run commands in one fresh process and return the modules that they have imported."""
    code = f"""
import json, sys
from mtl_framework.cli import main
for arguments in {commands!r}:
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code == 0, (arguments, end.code)
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *printed, modules = done.stdout.splitlines()
    assert len(printed) >= len(commands)
    found: list[str] = json.loads(modules)
    return found


def heavy(modules: list[str]) -> set[str]:
    return {*HEAVY} & {*modules}


def test_help_and_the_list_of_plugins_import_no_plugin() -> None:
    modules = imported_by(
        [["--help"], ["run", "--help"], ["list", "--help"], ["describe", "--help"],
         ["--version"], ["list", "plugins"]]
    )  # fmt: skip
    assert not heavy(modules)
    assert not {"mtl_lws", "mtl_baselines", "mtl_backbones"} & {*modules}


def test_lists_import_plugins_but_nothing_that_computes() -> None:
    kinds = ["strategies", "suites", "observers", "objectives", "heads", "backbones"]
    commands = [["list", kind] for kind in kinds]
    modules = imported_by([*commands, ["list", "backbones", "--filter", "resnet*"]])
    assert not heavy(modules)
    assert {"mtl_lws", "mtl_suites", "mtl_backbones"} <= {*modules}
    assert not {"mtl_lws.strategy", "mtl_suites.digits", "mtl_backbones.convnets"} & {*modules}


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["describe", "--strategy", "lws"], ["torchvision", "PIL"]),
        (["describe", "--suite", "digits"], ["torchvision", "PIL"]),
        (["describe", "--suite", "table"], ["torchvision", "PIL", "scipy"]),
    ],
)
def test_descriptions_import_only_what_they_use(arguments: list[str], allowed: list[str]) -> None:
    assert heavy(imported_by([arguments])) <= {"torch", "timm", "numpy", *allowed}


@pytest.mark.long
def test_commands_on_runs_import_only_what_they_use(tmp_path: Path) -> None:
    """A run's first step comes before torchmetrics; predicting does without the run's data."""
    run, picture = str(tmp_path / "run"), tmp_path / "one.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(picture)
    start = ["run", "--suite", "digits", "--backbone", "dkl_convnet", "--iterations", "1"]
    least = {"torch", "timm", "torchvision", "numpy", "PIL"}
    learned = {"sklearn", "scipy", "pandas"}  # the digits are scikit-learn's; it looks for pandas
    measured = {"torchmetrics", "matplotlib"}  # which torchmetrics imports where it can
    assert heavy(imported_by([[*start, "--dry-run"]])) <= least | learned
    assert heavy(imported_by([[*start, "--output", run]])) <= least | learned | measured
    predict = ["predict", run, "--task", "digit", str(picture)]
    assert heavy(imported_by([predict])) <= least


def test_package_and_marker_come_without_torch() -> None:
    code = "import sys; from mtl_framework import hookimpl; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
