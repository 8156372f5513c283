"""Real handwritten digits come with scikit-learn, which has a copy of a UCI data set."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

#: Number of all images, about 180 of every digit.
NUM_DIGITS = 1797


@dataclass(frozen=True)
class Handwriting:
    """This class holds digits 0 to 9 as 8x8 images, white on black, and their labels.

    Callers share the arrays and must not write to them.
    """

    images: UInt8[np.ndarray, "digits 8 8"]
    labels: Int64[np.ndarray, " digits"]


@cache
def handwriting() -> Handwriting:
    """Return all digits, in scikit-learn's order.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, 1998; these images were the test set there.
    """
    from sklearn.datasets import load_digits  # slow to import: a run's networks need no digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return Handwriting(images, bunch.target.astype(np.int64))


def enlarge(image: UInt8[np.ndarray, "8 8"], size: int) -> UInt8[np.ndarray, "{size} {size}"]:
    """Enlarge a digit to ``size`` pixels in width and height, by bicubic interpolation."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def split_digits(train: int, validation: int, test: int) -> dict[str, Int64[np.ndarray, " _"]]:
    """Return which digits are in which split.

    Splits are stratified by label, have no digit in common, and are always the same for the same
    sizes. The test digits depend on ``test`` only.

    Args:
        train: number of training digits.
        validation: number of validation digits.
        test: number of test digits.
    """
    from sklearn.model_selection import train_test_split

    labels = handwriting().labels
    rest, tested = train_test_split(
        np.arange(len(labels)), test_size=test, stratify=labels, random_state=0
    )
    trained, validated = train_test_split(
        rest, train_size=train, test_size=validation, stratify=labels[rest], random_state=0
    )
    return {"train": trained, "validation": validated, "test": tested}
