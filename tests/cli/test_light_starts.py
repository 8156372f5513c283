"""Commands start fast: they import only what they use."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["list", "--help"],
        ["describe", "--help"],
        ["list", "plugins"],
    ],
)
def test_help_and_plugin_list_import_neither_torch_nor_plugins(arguments: list[str]) -> None:
    code = f"""
import sys
from mtl_framework.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end.code
heavy = ("torch", "timm", "numpy", "mtl_lws", "mtl_baselines", "mtl_backbones")
found = [name for name in heavy if name in sys.modules]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--version"], ["torch", "numpy", "timm"]),
        (["list", "strategies"], ["torch", "numpy", "timm"]),
        (["list", "suites"], ["torch", "numpy", "timm"]),
        (["list", "observers"], ["torch", "numpy", "timm"]),
        (["describe", "--strategy", "lws"], ["sklearn", "scipy", "matplotlib"]),
        (["describe", "--suite", "table"], ["timm", "matplotlib"]),
    ],
)
def test_commands_import_only_what_they_use(arguments: list[str], heavy: list[str]) -> None:
    code = f"""
import sys
from mtl_framework.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end.code
found = [name for name in {heavy!r} if name in sys.modules]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_package_and_marker_come_without_torch() -> None:
    code = "import sys; from mtl_framework import hookimpl; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
