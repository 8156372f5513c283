"""Entry points of plugins, whoever implements the metadata."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_framework.plugins.entry_points import EntryPoint, entry_point_metadata, installed

PROGRAM = """
import importlib_metadata  # puts its own classes in the place of the standard ones
from mtl_framework.plugins.entry_points import entry_point_metadata, installed
found = entry_point_metadata(installed().entries)
print(*[(info.plugin, info.distribution, info.module) for info in found])
"""
BROKEN = """
import sys
if sys.argv[1] == "replaced":
    import importlib_metadata
import json
from mtl_framework.plugins.manager import Plugins
plugins = Plugins.load(on_problem=lambda problem: None)
problems = [(p.plugin, p.distribution, p.reason) for p in plugins.problems]
print(json.dumps({"strategies": plugins.names("strategy"), "problems": problems}))
"""


def test_a_package_that_replaces_the_standard_ones_changes_nothing() -> None:
    pytest.importorskip("importlib_metadata")
    found = entry_point_metadata(installed().entries)
    here = [(info.plugin, info.distribution, info.module) for info in found]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == " ".join(map(str, here))


def test_entry_points_are_what_is_asked_of_them() -> None:
    entries = installed().entries
    assert "lws" in [entry.name for entry in entries]
    assert all(isinstance(entry, EntryPoint) for entry in entries)


@pytest.mark.parametrize("metadata", ["standard", "replaced"])
def test_a_broken_entry_point_takes_no_other_plugin_away(tmp_path: Path, metadata: str) -> None:
    """Newer metadata refuses a whole distribution for it, older only when the plugin is loaded."""
    if metadata == "replaced":
        pytest.importorskip("importlib_metadata")
    for distribution, text in (
        ("mtl-bad", "[mtl_framework]\nbad = not a module!\n"),
        ("other", "[console_scripts]\nother = nor is this!\n"),  # no plugin: not our matter
    ):
        info = tmp_path / f"{distribution.replace('-', '_')}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, metadata],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert {"lws", "muir"} <= set(found["strategies"])
    assert [problem[:2] for problem in found["problems"]] == [["bad", "mtl-bad"]]
    assert "not a module!" in found["problems"][0][2]


def test_the_first_of_two_distributions_with_one_name_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, plugin in (("second", "old"), ("first", "new")):
        info = tmp_path / folder / "mtl_twice-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mtl-twice\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[mtl_framework]\n{plugin} = json\n")
        monkeypatch.syspath_prepend(tmp_path / folder)
    infos = entry_point_metadata(installed().entries)
    assert [info.plugin for info in infos if info.distribution == "mtl-twice"] == ["new"]


def test_distributions_without_a_name_are_all_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plugin in ("one", "two"):
        info = tmp_path / f"nameless_{plugin}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[mtl_framework]\n{plugin} = json\n")
    monkeypatch.syspath_prepend(tmp_path)
    infos = entry_point_metadata(installed().entries)
    nameless = [info.plugin for info in infos if info.distribution == "an unnamed distribution"]
    assert nameless == ["one", "two"]
