"""The suite ``dkl_mnist`` has digits, Latin letters and kuzushiji, with few training images."""

from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torchvision.datasets import EMNIST, KMNIST

from mtl_framework import MtlError
from mtl_framework.data import (
    Classification,
    Examples,
    SplitSizes,
    Suite,
    Task,
    Transforms,
    make_splits,
)

from .class_checks import check_classes
from .published import obtain
from .transformed import transformed


def dkl_mnist(
    *,
    data_root: str = "data",
    download: bool = False,
    train_per_task: int | float | None = 500,
    validation_per_task: int | float | None = 0,
    test_per_task: int | float | None = None,
    split_seed: int = 666,
    upright: bool = True,
    transforms: dict[str, Any] | None = None,
) -> Suite:
    """Read digits, Latin letters and kuzushiji from few images: EMNIST and KMNIST as DKL-MNIST.

    Inputs have shape (N, 1, 28, 28), uint8, white on black. The three tasks have 10, 26 and 10
    classes. The 500 training images of each task are drawn from its training set, stratified by
    class, the same for every seed of a run; the test sets are whole and have 40,000, 20,800 and
    10,000 images.

    Source: Prellberg and Kramer, IJCNN 2020, arXiv 2003.10159, section IV.

    Args:
        data_root: folder that holds the folders EMNIST and KMNIST as torchvision lays them out.
        download: whether files that are missing are downloaded.
        train_per_task: number of training images of each task, or below 1 a share of its training
            set.
        validation_per_task: number of images of each task that are taken from its training set for
            validation, or below 1 a share of its training set.
        test_per_task: number of test images of each task, or below 1 a share of its test set;
            default: the whole test set.
        split_seed: seed of the random choice of images.
        upright: whether EMNIST's images, which are stored transposed, are turned the way they are
            read.
        transforms: further transforms of images, as two lists, ``train`` and ``evaluation``, whose
            entries are names of classes of torchvision.transforms.v2, or mappings with ``name`` and
            arguments.

    Raises:
        MtlError: if files are missing or damaged, with what to do, or a split is too large.
    """
    further = Transforms.from_config(transforms, "suite.transforms")
    sizes = SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed)
    classes = {"digits": 10, "letters": 26, "kuzushiji": 10}
    tasks = [
        _task(name, number, sizes, upright, data_root, download) for name, number in classes.items()
    ]
    return transformed(Suite("dkl_mnist", tasks), further)


def _task(
    task: str, num_classes: int, sizes: SplitSizes, upright: bool, data_root: str, download: bool
) -> Task:
    parts = [_load(task, train, data_root, download) for train in (True, False)]
    images, targets = (torch.cat(of_both) for of_both in zip(*parts, strict=True))
    if task != "kuzushiji" and upright:
        images = images.transpose(-1, -2)
    if task == "letters":
        targets = targets - 1
    count = len(parts[0][0])
    labels = targets.numpy()
    given = torch.arange(len(images)).numpy()
    try:
        chosen = make_splits({"train": given[:count], "test": given[count:]}, labels, sizes)
        check_classes({split: labels[rows] for split, rows in chosen.items()})
    except MtlError as error:
        raise MtlError(f"suite 'dkl_mnist', task {task!r}: {error}") from None
    splits = {
        split: Examples(images[rows, None].contiguous(), targets[rows])
        for split, rows in chosen.items()
    }
    names = tuple(KMNIST.classes) if task == "kuzushiji" else _names(task)
    objective = Classification(num_classes, names)
    return Task(task, objective, splits["train"], splits["test"], splits.get("validation"))


def _names(task: str) -> tuple[str, ...]:
    names = EMNIST.classes_split_dict[task]
    return tuple(names[1:] if task == "letters" else names)  # the first letter's place is empty


def _load(
    task: str, train: bool, data_root: str, download: bool
) -> tuple[UInt8[Tensor, "images 28 28"], Int64[Tensor, " images"]]:
    part = "train" if train else "test"
    if task == "kuzushiji":
        prefix = "train" if train else "t10k"
        files = f"KMNIST/raw/{prefix}-images-idx3-ubyte and {prefix}-labels-idx1-ubyte (unpacked)"
        found = obtain(
            "KMNIST",
            lambda root, fetch: KMNIST(root, train=train, download=fetch),
            data_root,
            files,
            download,
        )
    else:
        files = f"EMNIST/raw/emnist-{task}-{part}-images-idx3-ubyte and the labels (unpacked)"
        found = obtain(
            "EMNIST",
            lambda root, fetch: EMNIST(root, task, train=train, download=fetch),
            data_root,
            files,
            download,
        )
    return found.data, found.targets
