"""The suite ``alphabets`` has handwritten digits and letters of several scripts to be read."""

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Int64, UInt8

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import Classification, Examples, Suite, Task

from .distortion import Distortion
from .glyphs import CANVAS, LETTER, SCRIPTS, TEST_FONTS, TRAIN_FONTS, draw
from .handwriting import NUM_DIGITS, enlarge, handwriting, split_digits

SIZE = 28

DISTORTION = Distortion(
    rotation=12.0,
    shear=0.2,
    scale=(0.8, 1.05),
    shift=0.06,
    blur=(0.2, 0.9),
    ink=(0.5, 0.9),
    ground=0.2,
    noise=0.1,
)


def alphabets(
    *,
    tasks: Sequence[str] = ("digits", "latin", "greek", "cyrillic", "armenian"),
    train_per_task: int = 500,
    validation_per_task: int = 200,
    test_per_task: int = 500,
) -> Suite:
    """Read digits or letters from 28x28 grey images, with a task for every alphabet.

    ``digits`` are real handwriting; every original is used for one image only. The other alphabets
    are the capital letters of a script (``georgian`` has one case only), drawn from the fonts that
    matplotlib ships; the fonts of the test images occur nowhere in training or validation. Every
    image is distorted at random: turned, slanted, stretched, moved, blurred, faded, noisy.
    The images depend on the options only, never on a run's seed; another version of the font
    renderer can change single grey levels. Inputs have shape (N, 1, 28, 28), uint8, and every
    class is in every split, about equally often.

    Args:
        tasks: names of the alphabets, each of which is a task: ``digits`` or one of the scripts
            armenian, cyrillic, georgian, greek, latin.
        train_per_task: number of training images of each task, 40 to 5000.
        validation_per_task: number of validation images of each task, 40 to 5000.
        test_per_task: number of test images of each task, 40 to 5000. There are 1797 handwritten
            digits for the three splits together.

    Raises:
        MtlError: if an option is wrong; the message names it, its value, and what is allowed.
    """
    sizes = {"train": train_per_task, "validation": validation_per_task, "test": test_per_task}
    for split, number in sizes.items():
        if not 40 <= number <= 5000:
            raise MtlError(f"{split}_per_task should be from 40 to 5000, found {number}")
    for name in tasks:
        if name not in ("digits", *SCRIPTS):
            raise UnknownNameError("task of suite 'alphabets':", name, ("digits", *SCRIPTS))
    if "digits" in tasks and sum(sizes.values()) > NUM_DIGITS:
        raise MtlError(
            "train_per_task, validation_per_task and test_per_task add up to "
            f"{sum(sizes.values())}, but there are {NUM_DIGITS} handwritten digits; "
            "ask for fewer or leave 'digits' out of tasks"
        )
    return Suite("alphabets", [_task(name, _drawn(name, **sizes)) for name in tasks])


Drawn = tuple[UInt8[np.ndarray, "images side side"], Int64[np.ndarray, " images"]]


@lru_cache(maxsize=32)  # a comparison asks once a cell
def _drawn(name: str, train: int, validation: int, test: int) -> Mapping[str, Drawn]:
    """Return images and labels of a task by split, which callers share and must not write to."""
    sizes = {"train": train, "validation": validation, "test": test}
    return _digits(sizes) if name == "digits" else _letters(name, sizes)


def _task(name: str, drawn: Mapping[str, Drawn]) -> Task:
    splits = {
        split: Examples(torch.tensor(images)[:, None], torch.tensor(labels))
        for split, (images, labels) in drawn.items()
    }
    objective = Classification(10 if name == "digits" else len(SCRIPTS[name]))
    return Task(name, objective, splits["train"], splits["test"], splits["validation"])


def _digits(sizes: dict[str, int]) -> dict[str, Drawn]:
    found = handwriting()
    splits = {}
    for split, chosen in split_digits(**sizes).items():
        pictures = np.zeros((len(chosen), CANVAS, CANVAS), np.uint8)
        margin = (CANVAS - LETTER) // 2
        for picture, image in zip(pictures, found.images[chosen], strict=True):
            picture[margin : margin + LETTER, margin : margin + LETTER] = enlarge(image, LETTER)
        images = _distorted(pictures, _random("digits", split))
        splits[split] = images, found.labels[chosen]
    return splits


def _letters(script: str, sizes: dict[str, int]) -> dict[str, Drawn]:
    letters = SCRIPTS[script]
    splits = {}
    for split, number in sizes.items():
        random = _random(script, split)
        fonts = TEST_FONTS if split == "test" else TRAIN_FONTS
        labels = np.arange(number) % len(letters)
        random.shuffle(labels)
        drawn = random.randint(len(fonts), size=number)
        pictures = np.stack(
            [draw(letters[k], fonts[f]) for k, f in zip(labels, drawn, strict=True)]
        )
        splits[split] = _distorted(pictures, random), labels
    return splits


def _distorted(
    pictures: UInt8[np.ndarray, "images canvas canvas"], random: np.random.RandomState
) -> UInt8[np.ndarray, "images side side"]:
    return np.stack([DISTORTION.apply(picture, SIZE, random) for picture in pictures])


def _random(task: str, split: str) -> np.random.RandomState:
    """Return random numbers of a task's split that do not depend on other tasks and splits."""
    return np.random.RandomState(zlib.crc32(f"{task}/{split}".encode()))
