"""Files, functions and classes stay of a size that can be read at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("mtl_framework", "plugins", "backbones", "examples", "tools", "benchmarks", "tests")
FILE, FUNCTION, METHODS, PARAMETERS = 350, 60, 12, 10
REASONED = "more than a dozen public"  # a class beyond the limit says why in its docstring
BESIDE = "# longer than 60 lines: "  # and so does a function, on its first line
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def excesses(source: str) -> Iterator[str]:
    """What in a file's text is too large."""
    lines_of = source.splitlines()
    if len(lines_of) > FILE:
        yield f"{len(lines_of)} lines, at most {FILE}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION and BESIDE not in lines_of[node.lineno - 1]:
                yield f"{node.name}: {length} lines, at most {FUNCTION}"
            given = len(node.args.args) + len(node.args.kwonlyargs) - 1
            if node.name == "__init__" and given > PARAMETERS:
                yield f"a constructor with {given} parameters, at most {PARAMETERS}"
        if isinstance(node, ast.ClassDef):
            names = [n.name for n in node.body if isinstance(n, ast.FunctionDef)]
            public = sum(not name.startswith("_") for name in names)
            reason = " ".join((ast.get_docstring(node) or "").split())
            if public > METHODS and REASONED not in reason:
                yield f"{node.name}: {public} public methods, at most {METHODS} without a reason"


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_is_too_large(room: str) -> None:
    odd = [
        f"{path.relative_to(ROOT)}: {excess}"
        for path in FILES
        if path.is_relative_to(ROOT / room)
        for excess in excesses(path.read_text(encoding="utf-8"))
    ]
    assert not odd, "\n".join(odd)


def test_what_is_too_large_is_seen() -> None:
    body = "\n".join(f"    x = {n}" for n in range(FUNCTION))
    methods = "\n".join(f"    def f{n}(self): ..." for n in range(METHODS + 1))
    many = ", ".join(f"a{n}" for n in range(PARAMETERS + 1))
    source = f"def f():\n{body}\n\nclass A:\n    def __init__(self, {many}): ...\n{methods}\n"
    assert len(list(excesses(source))) == 3
    assert any("lines" in text for text in excesses("\n" * (FILE + 2)))
