"""The suite ``cifar100``: the 20 coarse labels of CIFAR-100 as tasks."""

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.datasets import CIFAR100

from ..errors import MtlError
from ..tasks import Classification, Examples, Suite, Task
from .published import obtain
from .splits import SplitSizes, make_splits
from .transforms import Transforms

_COARSE, _FINE = 20, 5


def cifar100(
    *,
    data_root: str = "data",
    download: bool = False,
    train_per_task: int | float | None = None,
    validation_per_task: int | float | None = 0,
    test_per_task: int | float | None = None,
    split_seed: int = 0,
    transforms: dict[str, Any] | None = None,
) -> Suite:
    """CIFAR-100 as 20 tasks, a coarse label each, of 5 classes.

    Inputs have shape (N, 3, 32, 32), uint8. Every task has 2,500 training and 500 test images;
    its fine labels, sorted, are its classes 0 to 4.

    The files are pickles; torchvision compares their checksums with the published ones before it
    loads them, and what is read beside is read without executing anything.

    Source: Prellberg and Kramer, IJCNN 2020, arXiv 2003.10159, section IV.

    Args:
        data_root: folder that holds torchvision's cifar-100-python.
        download: fetch it where it is missing.
        train_per_task: training images of a task, below 1 a share; default: all that are left.
        validation_per_task: likewise, taken from the training images.
        test_per_task: likewise, of the test images; default: all.
        split_seed: of the choice of images, stratified by class.
        transforms: lists under ``train`` and ``evaluation``, of names of torchvision.transforms.v2
            or mappings with ``name`` and arguments.

    Raises:
        MtlError: if files are missing or damaged, with what to do.
    """
    sizes = SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed)
    steps = Transforms.from_config(transforms)
    images, fine, coarse = [], [], []
    for train in (True, False):
        found = obtain(
            "CIFAR-100",
            lambda root, fetch, train=train: CIFAR100(root, train=train, download=fetch),  # type: ignore[misc]
            data_root,
            "cifar-100-python (train, test and meta)",
            download,
        )
        folder = Path(found.root, found.base_folder)
        images.append(torch.from_numpy(found.data).permute(0, 3, 1, 2))
        fine.append(np.array(found.targets))
        coarse.append(
            np.array(_read_plain(folder / ("train" if train else "test"))["coarse_labels"])
        )
    names = _read_plain(folder / "meta")["coarse_label_names"]
    count = len(images[0])
    everything = torch.cat(images).contiguous()
    labels, groups = np.concatenate(fine), np.concatenate(coarse)
    _check_pairs(labels, groups, folder)
    rest = {split: steps.of(split).rest for split in ("train", "validation", "test")}
    tasks = []
    for group, task in enumerate(names):
        rows = np.flatnonzero(groups == group)
        given = {"train": rows[rows < count], "test": rows[rows >= count]}
        chosen = make_splits(given, labels, sizes)
        classes = np.unique(labels[rows])
        splits = {}
        for split, members in chosen.items():
            fixed = steps.of(split).fixed
            inputs = everything[torch.from_numpy(members)]
            if len(fixed):
                inputs = torch.stack([fixed(image) for image in inputs])
            targets = torch.from_numpy(np.searchsorted(classes, labels[members]))
            splits[split] = Examples(inputs, targets, transform=rest[split])
        objective = Classification(_FINE, tuple(found.classes[label] for label in classes))
        tasks.append(
            Task(
                task,
                objective,
                splits["train"],
                splits["test"],
                splits.get("validation"),
                normalization=steps.normalization,
            )
        )
    return Suite("cifar100", tasks)


def _check_pairs(labels: np.ndarray, groups: np.ndarray, folder: Path) -> None:
    """Every fine label belongs to one coarse label, and every coarse one has five."""
    pairs = set(zip(groups.tolist(), labels.tolist(), strict=True))
    a_group = np.bincount([group for group, _ in pairs], minlength=_COARSE)
    if len(pairs) != _COARSE * _FINE or set(a_group.tolist()) != {_FINE}:
        raise MtlError(
            f"{folder} should hold {_COARSE * _FINE} pairs of a coarse and a fine label, {_FINE} "
            f"of each coarse one, found {len(pairs)}"
        )


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts, lists and numpy's arrays; nothing else can be called."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how python 3 writes bytes for python 2
            return codecs.encode
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _read_plain(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = _PlainUnpickler(file, encoding="latin1").load()
    except (OSError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise MtlError(f"cannot read {path}: {error}") from error
    return dict(found)
