"""Programs beside the package (tools, examples), as modules."""

import importlib.util
from pathlib import Path
from typing import Any


def load_program(file: Path) -> Any:
    """Import a file by its path; nothing is put among the modules that are known by name."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
