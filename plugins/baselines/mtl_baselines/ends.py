"""Two strategies are the ends of the spectrum: everything shared, nothing shared."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import Backbone, MtlError, PlainBackbone, SeparateNetworks
from mtl_framework.data import Suite

from .fixed import FixedStrategy
from .presets import paper


class FullSharing(FixedStrategy):
    """All tasks use one weight of every unit; only their heads differ."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": paper("full_sharing")}

    def groups(self, backbone: Backbone, suite: Suite) -> Int64[Tensor, "units tasks"]:
        """Put all tasks into one group."""
        return torch.zeros(len(backbone.units), len(suite), dtype=torch.int64)


class NoSharing(FixedStrategy):
    """Every unit has a weight of its own for each task.

    What the backbone always shares (its stem, unless ``backbone.shared`` says otherwise) stays
    shared, as in the paper's experiments. Tasks with backbones of their own have nothing in common;
    their networks start as their models do.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": paper("no_sharing")}

    def groups(self, backbone: Backbone, suite: Suite) -> Int64[Tensor, "units tasks"]:
        """Put each task into a group by itself."""
        return torch.arange(len(suite)).repeat(len(backbone.units), 1)

    def build_each(self, backbones: Sequence[PlainBackbone], suite: Suite) -> SeparateNetworks:
        """Make a network of its own for each task.

        Raises:
            MtlError: if ``initialization`` is another than the models' own, or everything should be
                shared at first.
        """
        if self.config.shared_start:
            raise MtlError(
                f"shared_start={self.config.shared_start} is for one backbone of all tasks; tasks "
                "with their own have nothing to share at first: leave it out"
            )
        scheme = self.config.initialization
        if scheme not in (None, "library"):
            raise MtlError(
                f"initialization={scheme!r} is for one backbone of all tasks; tasks with their own "
                "keep those models' initialization: leave it out, or 'library'"
            )
        self.network = network = SeparateNetworks(backbones, suite.tasks)
        self.optimizer = self.make_optimizer(network, "adam", self.config.learning_rate)
        return network
