"""Real handwritten digits, from scikit-learn's bundled copy of a UCI data set."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

#: How many there are, about 180 of every digit.
NUM_DIGITS = 1797


@dataclass(frozen=True)
class Handwriting:
    """Digits 0 to 9 as 8x8 images, white on black, and what they are. Do not write to them."""

    images: UInt8[np.ndarray, "digits 8 8"]
    labels: Int64[np.ndarray, " digits"]


@cache
def handwriting() -> Handwriting:
    """All digits, in scikit-learn's order.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, 1998 (the part that was their test set).
    """
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return Handwriting(images, bunch.target.astype(np.int64))


def enlarge(image: UInt8[np.ndarray, "8 8"], size: int) -> UInt8[np.ndarray, "{size} {size}"]:
    """A digit drawn ``size`` pixels wide and high, smoothly."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def split_digits(train: int, validation: int, test: int) -> dict[str, Int64[np.ndarray, " _"]]:
    """Which digits are in which split: always the same, stratified by label, no digit in two.

    The test digits depend on ``test`` only.
    """
    labels = handwriting().labels
    rest, tested = train_test_split(
        np.arange(len(labels)), test_size=test, stratify=labels, random_state=0
    )
    trained, validated = train_test_split(
        rest, train_size=train, test_size=validation, stratify=labels[rest], random_state=0
    )
    return {"train": trained, "validation": validated, "test": tested}
