"""These functions let the data of a run lie in another folder than when it began."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def relocated(suite: Any, data_root: str) -> dict[str, Any]:
    """Return the keys of a saved suite that say where its data lies now.

    A path that does not start from ``data_root``, as it is absolute, is looked for there by its
    last part: ``/old/pets.csv`` as ``pets.csv``.

    Args:
        suite: section ``suite`` of the saved config.
        data_root: folder in which the data lies now.
    """
    path = suite.get("path") if isinstance(suite, Mapping) else None
    absolute = isinstance(path, str) and Path(path).is_absolute()
    return {"data_root": data_root, **({"path": Path(str(path)).name} if absolute else {})}


def wherever(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a config in which an absolute ``suite.path`` has its last part alone."""
    suite = config.get("suite")
    if not isinstance(suite, Mapping) or not isinstance(suite.get("path"), str):
        return config
    path = Path(suite["path"])
    return {**config, "suite": {**suite, "path": path.name}} if path.is_absolute() else config
