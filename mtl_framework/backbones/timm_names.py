"""Names of timm's models are read from its files: importing timm would take seconds."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)


def timm_models() -> list[str]:
    """Return the names of timm's models, numbers in them in their order.

    Where timm is imported already they come from its registry, so that models which a plugin has
    registered there are among them.
    """
    if "timm" in sys.modules:
        from timm import list_models

        return list(list_models())
    spec = find_spec("timm")
    places = spec.submodule_search_locations if spec is not None else None
    names: list[str] = []
    for place in places or ():
        for file in sorted(Path(place, "models").glob("*.py")):
            names += _REGISTERED.findall(file.read_text(encoding="utf-8"))
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    """Make the key that sorts ``resnet18`` before ``resnet101``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
