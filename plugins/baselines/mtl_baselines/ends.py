"""The two ends of the spectrum: everything shared, nothing shared."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import Backbone, Suite

from .fixed import FixedStrategy
from .presets import paper


class FullSharing(FixedStrategy):
    """One weight a unit for all tasks; only heads differ."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": paper("full_sharing")}

    def groups(self, backbone: Backbone, suite: Suite) -> Int64[Tensor, "units tasks"]:
        """One group."""
        return torch.zeros(len(backbone.units), len(suite), dtype=torch.int64)


class NoSharing(FixedStrategy):
    """A weight of its own for every unit and task.

    What the backbone always shares (its stem, unless ``backbone.shared`` says otherwise) stays
    shared, as in the paper's experiments.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": paper("no_sharing")}

    def groups(self, backbone: Backbone, suite: Suite) -> Int64[Tensor, "units tasks"]:
        """Each task by itself."""
        return torch.arange(len(suite)).repeat(len(backbone.units), 1)
