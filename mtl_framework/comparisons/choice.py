"""One entry of a comparison's lists of suites, backbones and strategies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One entry of the lists: a plugin's name and options, and what to call it here.

    ``sections`` of a run's config hold for this strategy alone, over those of the file.
    """

    label: str
    values: Mapping[str, Any]
    preset: str | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)
