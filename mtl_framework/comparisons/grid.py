"""The grid of a comparison has cells: one run each, known by its complete config."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from ..plugins.given import is_given, shown_name
from ..runs.config import RunConfig
from ..runs.folder import LOCATION, without
from ..runs.records import Control
from .config import ComparisonConfig

_MOST_CHARACTERS = 56  # of at most four bytes each: file systems take 255 bytes
# These keys change no number of a run: a cell keeps its folder when they change.
WITHOUT_EFFECT = ("log_every", "observers", "keep", *LOCATION)


@dataclass(frozen=True)
class Cell:
    """A cell is one run of a comparison.

    ``strategy``, ``suite`` and ``backbone`` are the names in the comparison; ``config`` is
    complete; ``control`` says of which strategy's runs the cell is a control.
    """

    strategy: str
    suite: str
    backbone: str
    config: RunConfig
    control: Control | None = None

    @property
    def seed(self) -> int:
        """Return the seed of the run."""
        return self.config.seed

    @property
    def folder(self) -> str:
        """Return the folder's name: plugins and seed for the reader, then the identity."""
        config = self.config
        names = [config.strategy.name, config.backbone.name, config.suite.name, f"s{config.seed}"]
        readable = re.sub(r"[^\w.-]", "_", "-".join(names))
        return f"{readable[:_MOST_CHARACTERS]}-{identity(config)}"


def make_grid(comparison: ComparisonConfig) -> list[Cell]:
    """Make all cells, seeds outermost, so that early results compare all strategies."""
    return [
        Cell(v.strategy, v.suite, v.backbone, v.config.model_copy(update={"seed": seed}))
        for seed in comparison.settings.seeds
        for v in comparison.variants
    ]


def python_objects(comparison: ComparisonConfig) -> list[str]:
    """List the Python objects of this process in a comparison, e.g. ``suite 'mine'``."""
    found = [
        f"{kind} {shown_name(getattr(variant.config, kind).name)!r}"
        for variant in comparison.variants
        for kind in ("strategy", "backbone", "suite")
        if is_given(getattr(variant.config, kind).name)
    ]
    return list(dict.fromkeys(found))


def significant(config: RunConfig) -> dict[str, Any]:
    """Return a config as plain values, without keys that have no effect on the numbers."""
    return without(config.model_dump(mode="json"), WITHOUT_EFFECT)


def identity(config: RunConfig) -> str:
    """Return ten hexadecimal digits that stand for the complete config."""
    text = json.dumps(significant(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
