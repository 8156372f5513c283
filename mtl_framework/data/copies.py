"""Inputs that two splits have in common: what is measured on them was seen in training."""

import hashlib
from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor

from .examples import SPLITS, Examples


def row_digests(inputs: Shaped[Tensor, "rows ..."]) -> list[bytes]:
    """Return a digest of every row's bytes: rows that are alike byte by byte have the same."""
    flat = inputs.detach().cpu().reshape(len(inputs), -1)
    flat = flat.clone(memory_format=torch.contiguous_format)  # expanded rows too
    content = flat.view(torch.uint8).numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in content]


def copies_notes(task: str, splits: Mapping[str, Examples]) -> list[str]:
    """Say which inputs in memory two splits have, byte by byte, a line for each pair of splits.

    Args:
        task: name of the task, or of the first one of those that read these examples.
        splits: the task's splits, by name.
    """
    seen: dict[bytes, tuple[str, int]] = {}
    pairs: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for split in (name for name in SPLITS if name in splits):
        inputs = splits[split].inputs
        if not isinstance(inputs, Tensor):
            return []
        for row, digest in enumerate(row_digests(inputs)):
            earlier, where = seen.setdefault(digest, (split, row))
            if earlier != split:
                pairs.setdefault((earlier, split), []).append((where, row))
    return [
        f"task {task!r}: {len(rows)} {'input is' if len(rows) == 1 else 'inputs are'} in both "
        f"{earlier} and {later}, e.g. row "
        f"{rows[0][0]} of {earlier} and row {rows[0][1]} of {later}"
        for (earlier, later), rows in pairs.items()
    ]
