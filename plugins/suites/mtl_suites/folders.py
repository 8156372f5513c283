"""The suite ``folders``: tasks from folders of images, a folder a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import Classification, Examples, LazyInputs, PictureOptions, Suite, Task

from .class_checks import common_classes, frequent_classes
from .faults import Faults, listed
from .image_files import ImageForm
from .options import Animated, Names
from .splits import ALIASES, DEFAULT_SHARE, SplitSizes, make_splits, split_name


def folders(
    *,
    path: str = ".",
    data_root: str = ".",
    tasks: Names | None = None,
    size: int | None = None,
    grey: bool = False,
    ground: str = "white",
    value_range: tuple[float, float] | None = None,
    animated: Animated = "refuse",
    transforms: dict[str, Any] | None = None,
    train_per_task: int | float | None = None,
    validation_per_task: int | float | None = None,
    test_per_task: int | float | None = None,
    split_seed: int = 0,
    skip_bad: bool = False,
    check_images: bool = True,
) -> Suite:
    """Tasks from your own folders of images: TASK/SPLIT/CLASS/image.png.

    Splits are called train, validation (or valid, val, dev) and test. Without a folder for
    validation or test, or without any (TASK/CLASS/image.png), those examples are taken at random,
    stratified by class, the same for every seed of a run; which ones is kept in the run's
    ``data.json``. Images become RGB, or grey.

    Args:
        path: the folder that holds one folder a task, within ``data_root``.
        data_root: folder of the data.
        tasks: names of folders, in order; default: all, by name.
        size: images are resized to this width and height, in pixels.
        grey: make one channel instead of three.
        ground: colour behind the transparent parts of images, a name or like #ffffff.
        value_range: the two numbers that become black and white in images of 16 bits, whole numbers
            or floats; default: the range of the bits, floats from 0 to 1.
        animated: refuse files of several pictures (animations, pages), or take the first one.
        transforms: further ones: lists under ``train`` and ``evaluation``, of names of
            torchvision.transforms.v2 or mappings with ``name`` and arguments.
        train_per_task: a number, or below 1 a share; default: all that other splits leave.
        validation_per_task: likewise; default: the folder's, else a fifth; 0: none.
        test_per_task: likewise; default: the folder's, else a fifth.
        split_seed: of the choice of examples.
        skip_bad: leave out images that cannot be read, classes that are not in both training and
            test, and tasks without images, and count them, instead of refusing them.
        check_images: read every image before training, so that all damaged ones are found at once;
            false: where they are too many for memory, they are found when they are needed.

    Raises:
        ProblemsError: with everything that is wrong in the folders.
        MtlError: naming an option, what was found and what is allowed.
    """
    form = ImageForm.from_options(
        grey, size, transforms, check_images, PictureOptions(ground, value_range, animated)
    )
    sizes = SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed)
    root = Path(data_root) / path
    faults = Faults("folders", skip_bad)
    built, record = [], {}
    for name in _tasks(root, tasks):
        found = _scan(root / name, faults)
        made = found and _task(name, found, root, sizes, form, faults)
        if made:
            built.append(made[0])
            record[name] = made[1]
    notes = faults.settle()
    if not built:
        raise MtlError(f"suite 'folders': skip_bad has left out every task in {root}")
    kept = {"tasks": record, "left_out": faults.record(root)}
    return Suite("folders", built, notes=notes, record=kept)


@dataclass(frozen=True)
class _Images:
    """Images of a task: files, their classes, and by split, under ``None`` those in none."""

    paths: Sequence[Path]
    classes: Sequence[str]
    rows: Mapping[str | None, Int64[np.ndarray, " _"]]

    def name(self, row: int) -> str:
        """What an image is called in messages."""
        return str(self.paths[row])


def _tasks(root: Path, wanted: Sequence[str] | None) -> list[str]:
    if not root.is_dir():
        raise MtlError(
            f"there is no folder {root}; say where the data lies with --data-root and suite.path"
        )
    present = _subfolders(root)
    if not present:
        raise MtlError(f"{root} should hold one folder a task, found none")
    for name in wanted or ():
        if name not in present:
            raise UnknownNameError(f"task: folder in {root}", name, present)
    return list(wanted or present)


def _subfolders(folder: Path) -> list[str]:
    found = (p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return sorted(found)


def _scan(folder: Path, faults: Faults) -> _Images | None:
    """What lies in a task's folder; ``None`` where there is no image."""
    names = _subfolders(folder)
    by_split: dict[str | None, Path] = {}
    if any(name.lower() in ALIASES for name in names):
        for name in names:
            if name.lower() not in ALIASES:
                faults.add(str(folder / name), "is no split, but lies beside splits")
            elif split_name(name) in by_split:
                faults.add(str(folder / name), f"is a second {split_name(name)} split")
            else:
                by_split[split_name(name)] = folder / name
    elif names:
        by_split[None] = folder
    paths: list[Path] = []
    classes: list[str] = []
    rows: dict[str | None, Int64[np.ndarray, " _"]] = {}
    for split, place in by_split.items():
        found = _samples(place)
        if not found:
            faults.add(str(place), "holds no image in a folder of a class")
            continue
        rows[split] = np.arange(len(paths), len(paths) + len(found))
        paths += [file for file, _ in found]
        classes += [label for _, label in found]
    if not by_split:
        faults.add(str(folder), "the task has no folder of a split or a class")
    if not rows:
        return None
    if None not in rows and "train" not in rows:
        faults.add(str(folder), "the task has no train split")
        return None
    return _Images(paths, classes, rows)


def _samples(folder: Path) -> list[tuple[Path, str]]:
    """Images and their classes, in a fixed order."""
    names = _subfolders(folder)
    if not names:
        return []
    numbers = {name: number for number, name in enumerate(names)}
    samples = make_dataset(str(folder), numbers, IMG_EXTENSIONS, allow_empty=True)
    return [(Path(file), names[label]) for file, label in samples]


def _task(
    name: str, images: _Images, root: Path, sizes: SplitSizes, form: ImageForm, faults: Faults
) -> tuple[Task, dict[str, Any]] | None:
    labels = np.array(images.classes)
    where = str(root / name)
    rows = common_classes(images.rows, labels, where, faults, images.name)
    if "validation" not in rows and sizes.validation is None:
        sizes = replace(sizes, validation=DEFAULT_SHARE)
    rows = frequent_classes(rows, labels, sizes, where, faults, images.name)
    try:
        chosen = make_splits(rows, labels, sizes, cut_test=True)
    except MtlError as error:
        faults.add(where, str(error))
        return None
    read = _read(images, chosen, form, where, faults)
    if read is None:
        return None
    good: dict[str | None, Int64[np.ndarray, " _"]] = {
        split: members for split, (_, members) in read.items()
    }
    kept = common_classes(good, labels, where, faults, images.name)
    if any(len(kept[split]) < len(good[split]) for split in good):  # lost with damaged images
        read = _read(images, kept, form, where, faults)
        if read is None:
            return None
    classes = sorted({str(label) for _, members in read.values() for label in labels[members]})
    if len(classes) < 2:
        faults.add(where, f"there should be at least 2 classes, found {listed(classes)}")
        return None
    number = {label: n for n, label in enumerate(classes)}
    splits = {
        split: Examples(
            inputs,
            torch.tensor([number[str(label)] for label in labels[members]]),
            transform=form.transforms.of(split).rest,
        )
        for split, (inputs, members) in read.items()
    }
    record = {
        split: [images.paths[row].relative_to(root / name).as_posix() for row in members]
        for split, (_, members) in read.items()
    }
    objective = Classification(len(classes), tuple(classes))
    task = Task(
        name,
        objective,
        splits["train"],
        splits["test"],
        splits.get("validation"),
        normalization=form.transforms.normalization,
        image_transform=form.prediction,
        pictures=form.pictures,
    )
    return task, record


def _read(
    images: _Images,
    chosen: Mapping[Any, Int64[np.ndarray, " _"]],
    form: ImageForm,
    where: str,
    faults: Faults,
) -> dict[str, tuple[Tensor | LazyInputs, Int64[np.ndarray, " _"]]] | None:
    """By split the images that can be read, and their rows; ``None`` if a split has none."""
    read = {}
    for split, members in chosen.items():
        files = [images.paths[row] for row in members]
        inputs, good = form.read(split, files, [str(file) for file in files], faults)
        if inputs is None:
            faults.add(where, f"no image of the {split} split can be read")
            return None
        read[split] = inputs, members[good]
    return read
