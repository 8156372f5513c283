"""Sequences of DNA are encoded as numbers."""

import numpy as np
from jaxtyping import Int8

from mtl_framework import MtlError

#: Symbols in the order of their numbers; N stands for an unknown base.
SYMBOLS = "NACGT"
_NUMBERS = np.full(256, -1, dtype=np.int8)
_NUMBERS[np.frombuffer(SYMBOLS.encode(), dtype=np.uint8)] = np.arange(len(SYMBOLS))
_NUMBERS[np.frombuffer(SYMBOLS.lower().encode(), dtype=np.uint8)] = np.arange(len(SYMBOLS))


def encoded(sequence: str, where: str) -> Int8[np.ndarray, " bases"]:
    """Return a sequence of bases as numbers: 0 to 4 for N, A, C, G and T, in either case.

    Args:
        sequence: the bases.
        where: what the sequence is called in messages.

    Raises:
        MtlError: if the sequence has another symbol; the message names it and its position.
    """
    numbers: np.ndarray = _NUMBERS[np.frombuffer(sequence.encode("latin1"), dtype=np.uint8)]
    wrong = np.flatnonzero(numbers < 0)
    if len(wrong):
        raise MtlError(
            f"{where} should consist of {', '.join(SYMBOLS)}, found {sequence[wrong[0]]!r} at base "
            f"{wrong[0]}"
        )
    return numbers
