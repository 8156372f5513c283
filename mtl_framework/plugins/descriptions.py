"""Classes and functions are described in one line, read from source without an import."""

import ast
import importlib.util
from pathlib import Path


def first_line_of(reference: str) -> str | None:
    """Return the first line of the docstring of ``"module:name"``.

    Only the packages above the module are imported.

    Returns:
        ``None`` where the module's source does not define the name, or gives it no docstring.
    """
    module, _, name = reference.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        body = ast.parse(source).body
    except (ImportError, AttributeError, OSError, SyntaxError, ValueError):
        return None
    for node in body:
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0] or None
    return None
