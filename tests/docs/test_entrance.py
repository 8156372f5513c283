"""What someone finds who wants to carry the work on: the picture of the rooms, versions, links."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.programs import load_program

from mtl_framework.plugins.manager import Plugins

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def tool(name: str) -> Any:
    return load_program(ROOT / "tools" / f"{name}.py")


def test_the_picture_shows_what_imports_what() -> None:
    rooms = tool("rooms")
    names = rooms.rooms()
    pairs = rooms.imports(names)
    assert rooms.shown(rooms.PICTURE.read_text()) == pairs, "run tools/rooms.py"
    assert all(names.index(importer) < names.index(imported) for importer, imported in pairs)
    folders = {path.parent.name for path in (ROOT / "mtl_framework").glob("*/__init__.py")}
    assert folders <= set(names)


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    versions = re.findall(r"^## \[(\S+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert versions[1] == project["version"] == citation["version"]
    assert (
        f"[{project['version']}] - {citation['date-released']}"
        in (ROOT / "CHANGELOG.md").read_text()
    )
    assert citation["license"] == project["license"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not re.match(r"https?:", link):
            assert (page.parent / link).exists(), link


def test_the_reference_of_options_is_that_of_the_code() -> None:
    options = tool("options")
    assert options.PAGE.read_text() == options.page(Plugins.load()), "run tools/options.py"
