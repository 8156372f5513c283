"""Files of arrays whose numbers say which example they are."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mtl_suites.arrays import arrays

from mtl_framework.data.tasks import Suite
from mtl_framework.support.arguments import check_arguments
from support.typed import stored


def chosen(**options: Any) -> Suite:
    """As from a config or the command line, where options are plain values."""
    return arrays(**check_arguments(arrays, options, ("suite",)))


def save(folder: Path, **contents: Any) -> dict[str, Any]:
    np.savez(folder / "file.npz", **contents)
    return {"path": "file.npz", "data_root": str(folder)}


def numbered(count: int, *shape: int, first: int = 0) -> np.ndarray:
    """Images that tell their number in their first two pixels."""
    images = np.zeros((count, *(shape or (5, 6))), np.uint8)
    flat = images.reshape(count, images[0].size if count else 2)
    flat[:, 0], flat[:, 1] = (np.arange(count) + first) % 256, (np.arange(count) + first) // 256
    return images


def numbers(inputs: torch.Tensor) -> list[int]:
    flat = inputs.flatten(1).int()
    return (flat[:, 0] + 256 * flat[:, 1]).tolist()


def by_split(suite: Suite, task: int = 0) -> dict[str, list[int]]:
    return {name: numbers(stored(found)) for name, found in suite.tasks[task].splits().items()}
