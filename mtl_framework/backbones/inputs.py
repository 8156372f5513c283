"""A backbone is run on inputs of the kind that it reads; they are made here."""

from collections.abc import Sequence

import torch
from torch import Tensor

#: Every embedding has at least two symbols.
_SYMBOLS = 2


def probe_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which a model gets inputs that a suite holds in ``dtype``.

    Whole numbers such as words stay what they are; bytes are images, which become floats.
    """
    whole = not dtype.is_floating_point and dtype != torch.uint8
    return dtype if whole else torch.get_default_dtype()


def probe_inputs(rows: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Draw random inputs that every model of the kind can read, by torch's global generator.

    Args:
        rows: number of inputs.
        shape: shape of one input.
        dtype: dtype that the model reads: normal floats, or whole numbers, of which the two symbols
            0 and 1 are drawn.
    """
    if dtype.is_floating_point:
        return torch.randn(rows, *shape, dtype=dtype)
    return torch.randint(_SYMBOLS, (rows, *shape), dtype=dtype)
