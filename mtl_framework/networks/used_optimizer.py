"""What a run's weights were moved by is a part of its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class UsedOptimizer:
    """This is the optimiser of a run's weights, as ``training.optimizer`` would name it.

    Args:
        name: name of the optimiser in timm.
        learning_rate: learning rate of the weights at the start.
        weight_decay: weight decay of the weights.
        options: further options of the optimiser that are not its own defaults; numbers, texts, or
            lists of them.
    """

    name: str
    learning_rate: float
    weight_decay: float
    options: Mapping[str, Any] = field(default_factory=dict)
