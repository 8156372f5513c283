"""Sequences of DNA are drawn from a seed, and scored by how well their best place fits a motif."""

import numpy as np
import torch

from mtl_framework.data import Examples

_SHARE_PLANTED = 0.7


def motif_examples(sizes: dict[str, int], length: int, seed: int) -> dict[str, Examples]:
    """Draw sequences with the score of their best place, for every split.

    A motif of eight bases has a weight for every base at every place; the score of a place is the
    sum of its eight weights. Into seven of ten sequences the motif is planted at random, with some
    of its bases changed. Targets are scores of the best place, made to mean 0 and standard
    deviation 1 over the training examples. Everything depends on the arguments only.

    Args:
        sizes: number of sequences of every split, among which is ``train``.
        length: number of bases in a sequence, at least 8.
        seed: seed of the motif and the sequences.

    Returns:
        for every split inputs (N, length) of int8, with 1 to 4 for the four bases, and targets (N).
    """
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(8, 4))
    found = {}
    for split, size in sizes.items():
        bases = generator.integers(4, size=(size, length))
        for row in np.flatnonzero(generator.random(size) < _SHARE_PLANTED):
            start = generator.integers(length - 8 + 1)
            motif = weights.argmax(1)
            changed = generator.random(8) < generator.random()
            bases[row, start : start + 8] = np.where(changed, generator.integers(4, size=8), motif)
        places = np.lib.stride_tricks.sliding_window_view(bases, 8, axis=1)
        found[split] = bases, weights[np.arange(8), places].sum(2).max(1)
    mean, sd = found["train"][1].mean(), found["train"][1].std()
    return {
        split: Examples(
            torch.from_numpy((bases + 1).astype(np.int8)),  # 0 is an unknown base
            torch.from_numpy((scores - mean) / sd).float(),
        )
        for split, (bases, scores) in found.items()
    }
