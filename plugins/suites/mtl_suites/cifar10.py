"""The suite ``cifar10`` has one task: which of ten kinds of objects a small photograph shows."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.datasets import CIFAR10

from mtl_framework import MtlError
from mtl_framework.data import Classification, Examples, Suite, Task, Transforms

from .published import obtain
from .transformed import transformed

VALIDATION = 5000
SEED = 301  # seed by which the published code chooses the images for validation
_NORMALIZE = {
    "name": "Normalize",
    "mean": [125.3 / 255, 123.0 / 255, 113.9 / 255],
    "std": [63.0 / 255, 62.1 / 255, 66.7 / 255],
}
#: Transforms of training and evaluation images in Meyerson and Miikkulainen, 2019.
TRANSFORMS: dict[str, list[Any]] = {
    "train": [
        {"name": "Pad", "padding": 4, "padding_mode": "reflect"},
        "RandomHorizontalFlip",
        {"name": "RandomCrop", "size": 32},
        _NORMALIZE,
    ],
    "evaluation": [_NORMALIZE],
}


def cifar10(
    *,
    data_root: str = ".",
    path: str = "",
    download: bool = False,
    validation: int = VALIDATION,
    batch_size: int | None = 128,
    transforms: dict[str, Any] | None = None,
) -> Suite:
    """Tell which of ten kinds of objects a 32x32 colour photograph shows: CIFAR-10 as one task.

    There are 45,000 images for training, 5,000 for validation, which are always the same ones, and
    10,000 for test. Unless other transforms are given, training images are padded by reflection,
    flipped at random and cropped at random.

    Source: Krizhevsky 2009; set-up of Meyerson and Miikkulainen, NeurIPS 2019. The files are read
    by torchvision, which compares them with their published digests before it unpickles them.

    Args:
        data_root: folder that ``path`` starts from.
        path: folder that holds ``cifar-10-batches-py``, within ``data_root``.
        download: whether files that are missing are downloaded.
        validation: number of training images that are kept for validation instead, from 0 up.
        batch_size: number of images in a training batch; null takes the run's batch size.
        transforms: transforms of images in place of the padding, flips and crops, as two lists,
            ``train`` and ``evaluation``, whose entries are names of classes of
            torchvision.transforms.v2, or mappings with ``name`` and arguments.

    Raises:
        MtlError: if the files are missing or are not the published ones, with the folder's name.
    """
    given = TRANSFORMS if transforms is None else transforms
    found = Transforms.from_config(copy.deepcopy(given), "suite.transforms")
    root = Path(data_root) / path
    splits = {"train": _read(root, True, download), "test": _read(root, False, download)}
    images, labels = splits["train"]
    if not 0 <= validation < len(images):
        raise MtlError(f"validation should be from 0 to {len(images) - 1}, found {validation}")
    order = np.random.RandomState(SEED).permutation(len(images))
    held, kept = torch.from_numpy(np.sort(order[:validation])), np.sort(order[validation:])
    splits["train"] = images[kept], labels[kept]
    if validation:
        splits["validation"] = images[held], labels[held]
    examples = {split: Examples(*each) for split, each in splits.items()}
    task = Task(
        "cifar10",
        Classification(len(CLASSES), CLASSES),
        examples["train"],
        examples["test"],
        examples.get("validation"),
        batch_size=batch_size,
    )
    return transformed(Suite("cifar10", [task]), found)


CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def _read(root: Path, train: bool, download: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (N, 3, 32, 32), uint8, and their labels (N)."""
    found = obtain(
        "CIFAR-10",
        lambda folder, fetch: CIFAR10(folder, train=train, download=fetch),
        str(root),
        f"{CIFAR10.base_folder} as published",
        download,
    )
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor(found.targets)
