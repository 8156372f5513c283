"""Layers have something small beside them, which extraction merges into them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class AdaptedLayer(nn.Module, ABC):
    """An adapted layer stands for a layer of a backbone and holds something beside it.

    Copies of a bank may have the layer's weights in common, and only what stands beside them of
    their own. Wherever a plain model is made of the networks, or given to them, the adapted layer
    stands for one of the class that it was: :meth:`merged` says with which state.

    Args:
        layer: the backbone's own layer.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    @abstractmethod
    def merged(self, task: int) -> Mapping[str, Tensor]:
        """Return the state of a plain layer that computes the same for one task when evaluated.

        Args:
            task: position of the task, where tasks have running averages of their own.
        """

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that a model reads from its layers, e.g. ``in_features``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            layer: Any = super().__getattr__("layer")
            return getattr(layer, name)
