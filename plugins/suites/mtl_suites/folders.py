"""The suite ``folders`` makes tasks from folders of images, with a folder for every class."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import (
    Classification,
    Examples,
    LazyInputs,
    Objective,
    PictureOptions,
    SplitSizes,
    Suite,
    Task,
    colour_lines,
    make_splits,
)

from .class_checks import common_classes, frequent_classes, rare_classes
from .class_hints import folder_hints
from .duplicates import Policy, same_pixels, seen_twice
from .faults import Faults, listed
from .file_contents import FileContents
from .folder_contents import count_beside
from .folder_layout import Images, scan, told
from .folder_tasks import Layout, task_folders
from .image_files import ImageForm, picture_kinds
from .options import Animated, Names
from .other_tasks import Contents, in_other_tasks
from .two_labels import two_labels

Rows = dict[str | None, Int64[np.ndarray, " _"]]


def folders(  # longer than 60 lines: every option has a description
    *,
    path: str = ".",
    data_root: str = ".",
    tasks: Names | None = None,
    layout: Layout = "auto",
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
    duplicates: Policy = "refuse",
) -> Suite:
    """Make tasks from your own folders of images: TASK/SPLIT/CLASS/image.png.

    Splits are called train, validation (or valid, val, dev) and test. A folder that holds splits
    itself (SPLIT/CLASS/image.png), or classes, is one task with the name of the folder. Splits
    without a folder, of which there may be none (TASK/CLASS/image.png), are taken at random from
    the other images, stratified by class, the same for every seed of a run; the run's ``data.json``
    says which images are in which split. Images become RGB, or grey.

    Args:
        path: path, within ``data_root``, of the folder that holds one folder for every task.
        data_root: folder that ``path`` starts from.
        tasks: names of the tasks' folders, in order; default: all folders, by name. If the folder
            itself is one task, this may give it another name.
        layout: what the folders in ``path`` are: ``tasks``; splits or classes of one ``task``; or
            ``auto``, which takes them for one task if they have names of splits, or if each of them
            holds images itself.
        size: width and height, in pixels, that images are resized to; default: as they are.
        grey: whether images get one channel instead of three.
        ground: colour behind the transparent parts of images, by name or as #ffffff.
        value_range: the two numbers that become black and white in images of 16 bits, whole numbers
            or floats; default: 0 and 65535 for 16 bits, 0 and 1 for floats; other whole numbers
            need this option.
        animated: what happens to files of several pictures (animations, pages): refuse, or first,
            which takes the first picture.
        transforms: further transforms of images, as two lists, ``train`` and ``evaluation``, whose
            entries are names of classes of torchvision.transforms.v2, or mappings with ``name`` and
            arguments.
        train_per_task: number of training examples of each task, or below 1 a share of its
            examples; default: all that other splits leave.
        validation_per_task: number of validation examples of each task, or below 1 a share of its
            examples; default: all in the folder of the validation split, or a fifth if there is no
            such folder; 0 makes no such split.
        test_per_task: number of test examples of each task, or below 1 a share of its examples;
            default: all in the folder of the test split, or a fifth if there is no such folder.
        split_seed: seed of the random choice of a split's examples.
        skip_bad: whether images that cannot be read, classes that are not in both training and
            test, and tasks without images are left out and counted; otherwise a run refuses them.
        check_images: whether every image is read before training, so that all damaged ones are
            named at once; with false, images that are too many for memory are not, and damaged ones
            are noticed when they are needed.
        duplicates: what happens to a picture that is in two splits of a task, also as a copy, as a
            link or in another format: refuse ends a run if it is in training and test and splits
            have folders, and otherwise prints a line; warn only prints lines; allow does not look.

    Raises:
        ProblemsError: if folders or images are faulty; the message says all that is wrong.
        MtlError: if an option is wrong; the message names it, its value, and what is allowed.
    """
    form = ImageForm.from_options(
        grey, size, transforms, check_images, PictureOptions(ground, value_range, animated)
    )
    sizes = SplitSizes(train_per_task, validation_per_task, test_per_task, split_seed)
    plan = _Plan(sizes, form, duplicates, Faults("folders", skip_bad))
    return plan.suite(Path(data_root) / path, tasks, layout)


@dataclass(frozen=True)
class _Plan:
    """A plan holds what becomes of folders.

    Args:
        sizes: sizes of the splits.
        form: how pictures are read.
        duplicates: what happens to a picture in two splits.
        faults: the collection that gets what is wrong.
        lines: a list that gets lines for the user.
        contents: digests of the files.
    """

    sizes: SplitSizes
    form: ImageForm
    duplicates: Policy
    faults: Faults
    lines: list[str] = field(default_factory=list)
    contents: FileContents = field(default_factory=FileContents)

    def suite(self, root: Path, tasks: Sequence[str] | None, layout: Layout) -> Suite:
        """Make the suite of a folder, with all tasks or those that are named."""
        built: list[Task] = []
        record: dict[str, dict[str, list[str]]] = {}
        left_out: Counter[str] = Counter()
        places, taken = task_folders(root, tasks, layout)
        above = {folder for place in places.values() for folder in place.parents}
        for folder in sorted(above):
            if folder.is_relative_to(root):
                count_beside(folder, "tasks", left_out)
        for name, place in places.items():
            images = scan(place, self.faults, left_out)
            self.lines.extend(images.notes if images else ())
            made = images and self.task(name, images, place)
            if made:
                built.append(made[0])
                record[name] = made[1]
        if len(record) > 1 and self.duplicates != "allow":
            self.lines.extend(in_other_tasks(self._pictures(places, record)))
        notes = self.faults.settle([name for name in places if name not in record])
        if not built:
            raise MtlError(f"suite 'folders': skip_bad has left out every task in {root}")
        reasons = told(left_out, root)
        kept: dict[str, Any] = {"tasks": record, "left_out": [*self.faults.record(root), *reasons]}
        if self.form.check:
            kept["pictures"] = picture_kinds(
                places[task] / file
                for task, splits in record.items()
                for files in splits.values()
                for file in files
            )
            self.lines.extend(colour_lines(kept["pictures"].get("colours", {})))
        lines = [*([taken] if taken else []), *reasons, *self.lines, *notes]
        return Suite("folders", built, notes=lines, record=kept)

    def _pictures(
        self, places: Mapping[str, Path], record: Mapping[str, Mapping[str, Sequence[str]]]
    ) -> Contents:
        """Return digest and name of every picture, by task and split."""
        return {
            task: {
                split: [
                    (self.contents.picture(places[task] / file), str(places[task] / file))
                    for file in files
                ]
                for split, files in splits.items()
            }
            for task, splits in record.items()
        }

    def task(
        self, name: str, images: Images, place: Path
    ) -> tuple[Task, dict[str, list[str]]] | None:
        """Return a task and its files by split, or ``None`` if the task cannot be made."""
        labels, where = np.array(images.classes), str(place)
        chosen = self._chosen(images, labels, where)
        read = chosen and _read(images, chosen, self.form, where, self.faults, self.contents)
        if not read:
            return None
        good: Rows = {split: members for split, (_, members) in read.items()}
        once, twice = same_pixels(*self._told(good, images), self.faults, self.contents)
        self.lines.extend(twice)
        new: Rows = {split: rows[once[str(split)]] for split, rows in good.items()}
        kept = common_classes(new, labels, where, self.faults, images.name)
        if any(len(kept[split]) < len(good[split]) for split in good):  # by damaged images, copies
            read = _read(images, kept, self.form, where, self.faults, self.contents)
            if read is None:
                return None
        classes = sorted({str(label) for _, members in read.values() for label in labels[members]})
        if len(classes) < 2:
            self.faults.add(where, f"there should be at least 2 classes, found {listed(classes)}")
            return None
        number = {label: n for n, label in enumerate(classes)}
        codes = np.array([number.get(label, -1) for label in images.classes])
        members = {split: rows for split, (_, rows) in read.items()}
        self.lines.extend(
            [*folder_hints(name, classes), *rare_classes(name, codes, classes, members)]
        )
        files = {split: [images.paths[row] for row in rows] for split, rows in members.items()}
        if self.duplicates != "allow":
            self.lines.extend(self._two_classes(name, images, members))
        record = {
            split: [images.paths[row].relative_to(place).as_posix() for row in rows]
            for split, rows in members.items()
        }
        splits = {
            split: Examples(
                inputs,
                torch.from_numpy(codes[rows]),
                transform=self.form.transforms.of(split).rest,
                names=record[split],
                contents=self.contents.described(files[split], self.form.check),
            )
            for split, (inputs, rows) in read.items()
        }
        return self._built(name, Classification(len(classes), tuple(classes)), splits), record

    def _told(
        self, rows: Mapping[Any, Int64[np.ndarray, " _"]], images: Images
    ) -> tuple[dict[str, list[Path]], dict[str, list[str]], Policy]:
        """Return files and their names by split, and what happens to pictures in two splits."""
        files = {split: [images.paths[row] for row in members] for split, members in rows.items()}
        names = {split: [str(path) for path in paths] for split, paths in files.items()}
        made_here = None in images.rows and self.duplicates == "refuse"
        return files, names, "warn" if made_here else self.duplicates

    def _two_classes(
        self, name: str, images: Images, members: Mapping[Any, Int64[np.ndarray, " _"]]
    ) -> list[str]:
        rows = np.concatenate(list(members.values()))
        files = [images.paths[row] for row in rows]
        classes = [images.classes[row] for row in rows]
        return two_labels(name, files, [str(path) for path in files], classes, self.contents)

    def _built(self, name: str, objective: Objective, splits: Mapping[str, Examples]) -> Task:
        return Task(
            name,
            objective,
            splits["train"],
            splits["test"],
            splits.get("validation"),
            normalization=self.form.transforms.normalization,
            image_transform=self.form.prediction,
            pictures=self.form.pictures,
        )

    def _chosen(
        self, images: Images, labels: np.ndarray, where: str
    ) -> dict[str, Int64[np.ndarray, " _"]] | None:
        """Divide the images into splits, without pictures that are refused in two of them.

        Returns:
            positions of the images of every split; ``None`` if splits cannot be made.
        """
        rows = common_classes(images.rows, labels, where, self.faults, images.name)
        if any(not len(members) for members in rows.values()):
            return None  # reported already: the splits have no class in common
        sizes = self.sizes if "validation" in rows else self.sizes.with_validation()
        rows = frequent_classes(rows, labels, sizes, where, self.faults, images.name)
        if any(not len(members) for members in rows.values()):
            return None
        try:
            chosen = make_splits(rows, labels, sizes, cut_test=True)
        except MtlError as error:
            self.faults.add(where, str(error))
            return None
        once, twice = seen_twice(*self._told(chosen, images), self.faults, self.contents)
        self.lines.extend(twice)
        chosen = {split: members[once[split]] for split, members in chosen.items()}
        if not all(len(members) for members in chosen.values()):
            self.faults.add(where, "every picture of a split is in another one, too")
            return None
        return chosen


def _read(
    images: Images,
    chosen: Mapping[Any, Int64[np.ndarray, " _"]],
    form: ImageForm,
    where: str,
    faults: Faults,
    contents: FileContents,
) -> dict[str, tuple[Tensor | LazyInputs, Int64[np.ndarray, " _"]]] | None:
    """Return every split's images that can be read, with their positions.

    Returns:
        ``None`` if no image of a split can be read.
    """
    read = {}
    for split, members in chosen.items():
        files = [images.paths[row] for row in members]
        inputs, good = form.read(split, files, [str(file) for file in files], faults, contents)
        if inputs is None:
            faults.add(where, f"no image of the {split} split can be read")
            return None
        read[split] = inputs, members[good]
    return read
