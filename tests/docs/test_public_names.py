"""Plugins and examples use public names of the host only."""

import ast
from pathlib import Path

import pytest

import mtl_framework

ROOT = Path(__file__).parents[2]
FILES = [
    file
    for folder in ("plugins", "backbones", "examples")
    for file in (ROOT / folder).rglob("*.py")
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_public_names_are_imported(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mtl_framework"):
            assert node.module == "mtl_framework", f"{file}:{node.lineno}"
            for alias in node.names:
                assert alias.name in mtl_framework.__all__, f"{file}:{node.lineno}: {alias.name}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("mtl_framework."), f"{file}:{node.lineno}"
