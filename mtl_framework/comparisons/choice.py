"""A choice is one entry of a comparison's lists of suites, backbones and strategies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A choice is one entry of the lists: a plugin's name and options, under a label.

    ``values`` are the name and the options as a run's config has them. ``sections`` of a run's
    config hold for this strategy alone, over those of the file.
    """

    label: str
    values: Mapping[str, Any]
    preset: str | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)
