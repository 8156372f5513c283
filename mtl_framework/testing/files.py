"""Files of two runs are compared without the times that were measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

#: Keys whose values are measured, or follow from measured ones.
TIMES = {"seconds", "training_seconds", "seconds_per_iteration", "peak_memory", "metrics_length"}


def run_files(directory: Path, python: bool = False) -> dict[str, Any]:
    """Return all files of a run but for measured times: what two equal runs have in common.

    Args:
        directory: folder of the run.
        python: whether the state of python's own generator is compared, too. Whatever else draws
            from it in this process, a checker of types for example, then makes runs different.
    """
    content: dict[str, Any] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.name.endswith(".lock"):
            continue
        if path.name == "metrics.jsonl":
            content[name] = [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".json":
            plain = json.loads(path.read_text())
            plain.pop("sha256", None)  # of what is compared itself, here and in the next line
            plain.get("body", {}).pop("tensors", None)
            content[name] = _timeless(plain)
        elif path.suffix == ".safetensors":
            tensors = safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
            content[name] = {
                key: value for key, value in tensors if python or "/generators/python" not in key
            }
        elif path.is_file():
            content[name] = path.read_bytes()
    return content


def first_difference(one: Any, other: Any, path: str = "") -> str | None:
    """Return where two contents differ first, as a path of keys; ``None``: nowhere."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in [*one, *(key for key in other if key not in one)]:
            below = f"{path}/{key}" if path else str(key)
            if (key in one) != (key in other):
                return below
            if deeper := first_difference(one[key], other[key], below):
                return deeper
        return None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for position, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            if deeper := first_difference(mine, theirs, f"{path}/{position}"):
                return deeper
        return None
    return None if one == other else path


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        # a checkpoint holds dicts as lists of pairs
        return [
            _timeless(item)
            for item in value
            if not (isinstance(item, list) and item and item[0] in sorted(TIMES))
        ]
    if isinstance(value, Mapping):
        return {key: _timeless(item) for key, item in value.items() if key not in TIMES}
    return value
