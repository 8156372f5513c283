"""DNA as numbers."""

import numpy as np
from jaxtyping import Int8

from mtl_framework import MtlError

#: Symbols by their number; N stands for an unknown base.
SYMBOLS = "NACGT"
_NUMBERS = np.full(256, -1, dtype=np.int8)
_NUMBERS[np.frombuffer(SYMBOLS.encode(), dtype=np.uint8)] = np.arange(len(SYMBOLS))
_NUMBERS[np.frombuffer(SYMBOLS.lower().encode(), dtype=np.uint8)] = np.arange(len(SYMBOLS))


def encoded(sequence: str, where: str) -> Int8[np.ndarray, " bases"]:
    """A sequence of A, C, G, T and N, either case, as numbers 0 to 4.

    Args:
        sequence: the bases.
        where: it is from, for messages.

    Raises:
        MtlError: naming another symbol and its place.
    """
    numbers: np.ndarray = _NUMBERS[np.frombuffer(sequence.encode("latin1"), dtype=np.uint8)]
    wrong = np.flatnonzero(numbers < 0)
    if len(wrong):
        raise MtlError(
            f"{where} should consist of {', '.join(SYMBOLS)}, found {sequence[wrong[0]]!r} at base "
            f"{wrong[0]}"
        )
    return numbers
