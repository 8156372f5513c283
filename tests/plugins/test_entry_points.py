"""Entry points of plugins, whoever implements the metadata."""

import subprocess
import sys

import pytest

from mtl_framework.plugins.entry_points import EntryPoint, entry_point_metadata, installed

PROGRAM = """
import importlib_metadata  # puts its own classes in the place of the standard ones
from mtl_framework.plugins.entry_points import entry_point_metadata
print(*[(info.plugin, info.distribution, info.module) for info in entry_point_metadata()])
"""


def test_a_package_that_replaces_the_standard_ones_changes_nothing() -> None:
    pytest.importorskip("importlib_metadata")
    here = [(info.plugin, info.distribution, info.module) for info in entry_point_metadata()]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == " ".join(map(str, here))


def test_entry_points_are_what_is_asked_of_them() -> None:
    entries = installed()
    assert "lws" in [entry.name for entry in entries]
    assert all(isinstance(entry, EntryPoint) for entry in entries)
