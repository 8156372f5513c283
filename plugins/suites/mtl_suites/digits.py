"""The suite ``digits`` asks three questions about every handwritten digit."""

import numpy as np
import torch

from mtl_framework import MtlError
from mtl_framework.data import Binary, Classification, Examples, Suite, Task

from .handwriting import NUM_DIGITS, enlarge, handwriting, split_digits


def digits(*, size: int = 28) -> Suite:
    """Tell which digit an image shows, whether it is odd, and whether it is at least five.

    The three tasks are attributes of one image and so have a common input. All report an error in
    percent, so that their mean makes sense. There are 1077 images for training, 360 for validation
    and 360 for test, of shape (N, 1, size, size), uint8.

    Args:
        size: width and height of the images in pixels, from 8, as the originals have, to 224.

    Raises:
        MtlError: if ``size`` is not from 8 to 224.
    """
    if not 8 <= size <= 224:
        raise MtlError(f"size should be from 8 to 224, found {size}")
    writing = handwriting()
    objectives = {"digit": Classification(10), "odd": Binary(), "large": Binary()}
    splits: dict[str, dict[str, Examples]] = {name: {} for name in objectives}
    for split, chosen in split_digits(NUM_DIGITS - 2 * 360, 360, 360).items():
        images = np.stack([enlarge(image, size) for image in writing.images[chosen]])
        inputs = torch.from_numpy(images)[:, None]
        digit = torch.from_numpy(writing.labels[chosen])
        splits["digit"][split] = Examples(inputs, digit)
        splits["odd"][split] = Examples(inputs, digit % 2)
        splits["large"][split] = Examples(inputs, (digit >= 5).long())
    tasks = [
        Task(name, objective, found["train"], found["test"], found["validation"])
        for (name, objective), found in zip(objectives.items(), splits.values(), strict=True)
    ]
    return Suite("digits", tasks, common_input=True)
