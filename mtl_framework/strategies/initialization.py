"""Strategies inherit options that say how the weights of their networks start."""

from typing import Literal

from pydantic import Field

from ..backbones.backbone import Backbone
from .strategy import StrategyConfig

Initialization = Literal["library", "he_uniform"]


class InitialWeights(StrategyConfig):
    """These are options of a strategy that draws the weights of a backbone.

    Runs that were made before 25 November 2026 may say ``initialization: null``, which was the
    default then and keeps its meaning: he_uniform, or the library's where weights are pretrained.
    """

    initialization: Initialization | None = Field(
        "library",
        description="library: weights start as the model's own library draws them (PyTorch's "
        "layers: uniformly within 1/sqrt(fan_in)), or pretrained; he_uniform: weights of "
        "convolutions and linear layers are drawn uniformly within sqrt(6/fan_in), 2.4 times as "
        "wide",
    )

    def initialization_of(self, backbone: Backbone) -> Initialization:
        """Return the scheme that these options name for a backbone."""
        if self.initialization is None:
            return "library" if backbone.recipe.pretrained else "he_uniform"
        return self.initialization
