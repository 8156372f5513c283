"""The suite ``cifar100`` has the 20 coarse labels of CIFAR-100 as tasks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torchvision.datasets import CIFAR100

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

from .published import obtain
from .published_pickle import published
from .transformed import transformed

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
    """Tell apart the 5 fine labels of each coarse label of CIFAR-100, which makes 20 tasks.

    Inputs have shape (N, 3, 32, 32), uint8. Every task has 2,500 training and 500 test images;
    the fine labels of its coarse label, sorted, are its classes 0 to 4.

    The files are pickles; torchvision compares their checksums with the published ones before it
    loads them. The coarse labels, which torchvision leaves out, are read without executing code.

    Source: Prellberg and Kramer, IJCNN 2020, arXiv 2003.10159, section IV.

    Args:
        data_root: folder that holds the folder cifar-100-python as torchvision lays it out.
        download: whether files that are missing are downloaded.
        train_per_task: number of training images of each task, or below 1 a share of its training
            images; default: all that validation leaves.
        validation_per_task: number of images of each task that are taken from its training images
            for validation, or below 1 a share of its training images.
        test_per_task: number of test images of each task, or below 1 a share of its test images;
            default: all 500.
        split_seed: seed of the random choice of images, which is stratified by class.
        transforms: further transforms of images, as two lists, ``train`` and ``evaluation``, whose
            entries are names of classes of torchvision.transforms.v2, or mappings with ``name`` and
            arguments.

    Raises:
        MtlError: if files are missing or damaged, with what to do.
    """
    sizes = SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed)
    further = Transforms.from_config(transforms, "suite.transforms")
    data = _Data.read(data_root, download)
    tasks = [data.task(group, name, sizes) for group, name in enumerate(data.names)]
    return transformed(Suite("cifar100", tasks), further)


@dataclass(frozen=True)
class _Data:
    """This class holds all images, training images first, with both labels and their names."""

    images: UInt8[Tensor, "images 3 32 32"]
    fine: Int64[np.ndarray, " images"]
    coarse: Int64[np.ndarray, " images"]
    training: int
    names: list[str]
    classes: list[str]

    @classmethod
    def read(cls, data_root: str, download: bool) -> "_Data":
        """Read all from the files that torchvision knows.

        Raises:
            MtlError: if files are missing or damaged.
        """
        images, fine, coarse = [], [], []
        for train in (True, False):
            part = obtain(
                "CIFAR-100",
                lambda root, fetch, train=train: CIFAR100(root, train=train, download=fetch),  # type: ignore[misc]
                data_root,
                "cifar-100-python (train, test and meta)",
                download,
            )
            folder = Path(part.root, part.base_folder)
            pickled = published(folder / ("train" if train else "test"))
            images.append(torch.from_numpy(part.data).permute(0, 3, 1, 2))
            fine.append(np.array(part.targets))
            coarse.append(np.array(pickled["coarse_labels"]))
        names = published(folder / "meta")["coarse_label_names"]
        labels, groups = np.concatenate(fine), np.concatenate(coarse)
        _check_pairs(labels, groups, folder)
        everything = torch.cat(images).contiguous()
        return cls(everything, labels, groups, len(images[0]), names, part.classes)

    def task(self, group: int, name: str, sizes: SplitSizes) -> Task:
        """Make the task of one coarse label, which is given by number and name."""
        rows = np.flatnonzero(self.coarse == group)
        given: dict[str | None, Int64[np.ndarray, " _"]] = {
            "train": rows[rows < self.training],
            "test": rows[rows >= self.training],
        }
        chosen = make_splits(given, self.fine, sizes)
        classes = np.unique(self.fine[rows])
        splits = {
            split: Examples(
                self.images[torch.from_numpy(members)],
                torch.from_numpy(np.searchsorted(classes, self.fine[members])),
            )
            for split, members in chosen.items()
        }
        objective = Classification(_FINE, tuple(self.classes[label] for label in classes))
        return Task(name, objective, splits["train"], splits["test"], splits.get("validation"))


def _check_pairs(labels: np.ndarray, groups: np.ndarray, folder: Path) -> None:
    """Refuse labels unless each fine one has one coarse label, and each coarse one five fine."""
    pairs = set(zip(groups.tolist(), labels.tolist(), strict=True))
    a_group = np.bincount([group for group, _ in pairs], minlength=_COARSE)
    if len(pairs) != _COARSE * _FINE or set(a_group.tolist()) != {_FINE}:
        raise MtlError(
            f"{folder} should hold {_COARSE * _FINE} pairs of a coarse and a fine label, {_FINE} "
            f"of each coarse one, found {len(pairs)}"
        )
