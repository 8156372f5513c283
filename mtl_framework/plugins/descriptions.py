"""Classes and functions are described in one line, read from source without an import."""

import ast
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path


def first_line_of(reference: str) -> str | None:
    """Return the first line of the docstring of ``"module:name"``, without importing anything.

    Returns:
        ``None`` where the module's source is not found, does not define the name, or gives it no
        docstring.
    """
    module, _, name = reference.partition(":")
    try:
        spec = _spec_of(module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        body = ast.parse(source).body
    except (ImportError, AttributeError, OSError, SyntaxError, ValueError):
        return None
    for node in body:
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0] or None
    return None


def _spec_of(module: str) -> ModuleSpec | None:
    """Find a module as an import would; :func:`importlib.util.find_spec` runs packages above it."""
    found, places, name = None, None, ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        found = _found_in(name, places)
        if found is None:
            return None
        places = found.submodule_search_locations or ()
    return found


def _found_in(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    """Ask Python's finders in their order; ``places`` are those of the package above, if any."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, places)
        if spec is not None:
            return spec
    return None
