"""Plugins and examples use public names of the host only."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLIC = ("mtl_framework", "mtl_framework.data")
FILES = [
    file
    for folder in ("plugins", "backbones", "examples")
    for file in (ROOT / folder).rglob("*.py")
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_public_names_are_imported(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mtl_framework"):
            assert node.module in PUBLIC, f"{file}:{node.lineno}: {node.module} is private"
            for alias in node.names:
                public = import_module(node.module).__all__
                assert alias.name in public, f"{file}:{node.lineno}: {alias.name}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                private = alias.name.startswith("mtl_framework") and alias.name not in PUBLIC
                assert not private, f"{file}:{node.lineno}: {alias.name} is private"


def test_suites_are_among_the_files() -> None:
    assert any("mtl_suites" in file.parts for file in FILES)


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_there(module: str) -> None:
    public = import_module(module)
    assert len(set(public.__all__)) == len(public.__all__)
    for name in public.__all__:
        assert getattr(public, name) is not None
        assert name in dir(public)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        public.Nonsense  # noqa: B018


@pytest.mark.parametrize("module", PUBLIC)
def test_importing_a_public_module_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_of_data_are_in_alphabetical_order() -> None:
    names = import_module("mtl_framework.data").__all__
    assert names == sorted(names)
