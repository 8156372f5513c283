"""Balanced batches: every task has a part in every batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..tasks import Suite, Task


@dataclass(frozen=True)
class Batch:
    """One training batch, task by task.

    ``inputs[t]`` has shape (B_t, ...), ``targets[t]`` (B_t, ...). With ``common_input`` all tasks
    read the same rows: ``inputs[t]`` is one tensor for every t.
    """

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    common_input: bool = False

    def __post_init__(self) -> None:
        if self.common_input and any(x is not self.inputs[0] for x in self.inputs):
            raise ValueError("a batch with a common input holds one input tensor for all tasks")
