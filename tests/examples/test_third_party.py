"""The example of a third party: really built, installed, run and removed; broken variants of it."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_strategy"
SMALL = ["--suite", "digits", "--backbone", "dkl_convnet", "--set", "suite.size=12"]
RUN = ["run", "--iterations", "2", "--device", "cpu", *SMALL]
PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]


class Environment:
    """A virtual environment that sees everything installed here, and can have more."""

    def __init__(self, path: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
        self.python = path / "bin" / "python"
        site = Path(self.output("-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
        here = sysconfig.get_path("purelib")
        (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")

    def output(self, *arguments: str) -> str:
        """What python prints with these arguments."""
        command = [str(self.python), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def pip(self, *arguments: str | Path) -> None:
        """Run this interpreter's pip for the environment, without a network."""
        command = [sys.executable, *PIP, "--python", self.python, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def install(self, *projects: Path) -> None:
        """Build wheels of projects, and install them."""
        for project in projects:
            command = [sys.executable, *PIP, "wheel", "--no-build-isolation", "--no-deps"]
            command += ["--wheel-dir", str(project / "wheels"), str(project)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        wheels = [wheel for project in projects for wheel in (project / "wheels").glob("*.whl")]
        assert len(wheels) == len(projects)
        self.pip("install", "--no-deps", "--no-index", *wheels)

    def mtl(self, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Run the command line in a folder."""
        command = [str(self.python), "-c", "from mtl_framework.cli import main; main()", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def copied(target: Path, distribution: str = "", plugin: str = "") -> Path:
    """The example under another name, to be changed."""
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    module = f"mtl_{plugin}" if plugin else "mtl_random_sharing"
    (target / "mtl_random_sharing.py").rename(target / f"{module}.py")
    project = target / "pyproject.toml"
    text = project.read_text().replace("mtl_random_sharing", module)
    if plugin:
        text = text.replace("mtl-random-sharing", distribution)
        text = text.replace(f'random_sharing = "{module}"', f'{plugin} = "{module}"')
    project.write_text(text)
    return target


@pytest.mark.long
def test_the_example_is_installed_listed_run_and_removed(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install(copied(tmp_path / "project"))
    listed = environment.mtl("list", "strategies", folder=tmp_path)
    assert re.search(r"random_sharing +Every task uses a random weight", listed.stdout)
    assert listed.stderr == ""

    flags = ["--strategy", "random_sharing", "--set", "weights_per_unit=3", "--output", "out"]
    done = environment.mtl(*RUN, *flags, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["strategy"] == "random_sharing"
    assert re.fullmatch(r"[\d.]+", result["versions"]["mtl-random-sharing"])
    weights = {weight for row in result["assignment"]["weights"] for weight in row}
    assert weights <= {0, 1, 2}
    resumed = environment.mtl(
        "run", "--resume", "--output", "out", "--iterations", "3", folder=tmp_path
    )
    assert resumed.returncode == 0, resumed.stderr

    environment.pip("uninstall", "--yes", "mtl-random-sharing")
    listed = environment.mtl("list", "strategies", folder=tmp_path)
    assert "random_sharing" not in listed.stdout
    assert "lws" in listed.stdout
    done = environment.mtl(*RUN, "--strategy", "random_sharing", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown strategy 'random_sharing'")
    assert done.stderr.count("\n") == 1


@pytest.mark.long
def test_the_tests_of_the_example_pass(tmp_path: Path) -> None:
    project = copied(tmp_path / "project")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^[67] passed", done.stdout, re.MULTILINE)


BROKEN = {
    "needs_more": (
        ("import torch\n", "import torch\nimport no_such_module\n"),
        "importing mtl_needs_more failed: ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "wrong_hook": (
        ("def mtl_strategies()", "def mtl_strategies(config)"),
        "mtl_strategies takes no argument; found 'config'",
    ),
    "unmarked": (("@hookimpl\n", ""), "it has no hook: functions need the mark"),
    "greedy": (
        ('{"random_sharing": RandomSharing}', '{"lws": RandomSharing}'),
        "strategy name 'lws' is taken by plugin 'lws' of mtl-framework",
    ),
    "a_class": (("", ""), "its entry point 'mtl_a_class:RandomSharing' should name a module"),
    "no_strategy": (
        ('{"random_sharing": RandomSharing}', '{"no_strategy": RandomSharingConfig}'),
        "strategy 'no_strategy' should be a subclass of Strategy, found RandomSharingConfig",
    ),
}


@pytest.mark.long
def test_broken_variants_are_named_and_harm_nothing(tmp_path: Path) -> None:
    projects = []
    for plugin, ((old, new), _) in BROKEN.items():
        project = copied(tmp_path / plugin, f"mtl-x-{plugin.replace('_', '-')}", plugin)
        module = project / f"mtl_{plugin}.py"
        text = module.read_text()
        assert old in text
        module.write_text(text.replace(old, new))
        projects.append(project)
    settings = projects[list(BROKEN).index("a_class")] / "pyproject.toml"
    settings.write_text(
        settings.read_text().replace('= "mtl_a_class"', '= "mtl_a_class:RandomSharing"')
    )
    environment = Environment(tmp_path / "environment")
    environment.install(*projects, copied(tmp_path / "whole"))

    done = environment.mtl(*RUN, "--strategy", "random_sharing", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == len(BROKEN)
    for plugin, (_, reason) in BROKEN.items():
        named = f"warning: plugin {plugin!r} of mtl-x-{plugin.replace('_', '-')}: "
        assert [line for line in warnings if line.startswith(named) and reason in line]

    # nothing of a plugin is imported, so nothing can be wrong yet
    listed = environment.mtl("list", "plugins", folder=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert all(f"mtl_{plugin}" in listed.stdout for plugin in BROKEN)
    checked = environment.mtl("list", "plugins", "--check", folder=tmp_path)
    assert checked.returncode == 1
    assert checked.stderr.count("warning: ") == len(BROKEN)
    assert re.search(
        r"random_sharing +mtl-random-sharing .*strategies random_sharing", checked.stdout
    )

    for plugin in ("needs_more", "no_strategy"):
        done = environment.mtl(*RUN, "--strategy", plugin, folder=tmp_path)
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last.startswith(
            f"error: strategy {plugin!r} is missing because of plugin {plugin!r}"
        )
        assert BROKEN[plugin][1] in last
