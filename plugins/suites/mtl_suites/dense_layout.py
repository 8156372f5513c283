"""A suite of images and maps has a folder of images, and a folder of maps for every task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import (
    BinaryMap,
    Depth,
    Examples,
    LazyInputs,
    MapObjective,
    MapRegression,
    Normals,
    Segmentation,
    Suite,
    Task,
    colour_lines,
    is_litter,
    picture_suffixes,
    resize_map,
)

from .dense_files import SUFFIXES, MapKind, converted
from .folder_contents import NO_TEXT, is_text
from .image_files import picture_kinds
from .map_stack import IGNORED, MapStack
from .options import counted


@dataclass(frozen=True)
class MapTask:
    """A map task says where the maps of a task are and how they are read.

    Args:
        name: name of the task.
        folder: name of the folder of its maps.
        kind: kind of the maps.
        scale: factor that numbers in maps are multiplied by.
        ignored: whole numbers that stand for no label; ``None`` takes -1, and 255 unless maps are
            binary.
        classes: number of classes; ``None`` takes one more than the largest number in the maps.
        class_names: names of the classes.
        read: function that reads the map in a file, or returns ``None`` if there is none; ``None``
            takes the usual one for the kind.
        objective: objective of the task; ``None`` takes the usual one for the kind.
    """

    name: str
    folder: str
    kind: MapKind
    scale: float = 1.0
    ignored: tuple[int, ...] | None = None
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    read: Callable[[Path], NDArray[Any] | None] | None = None
    objective: MapObjective | None = None


@dataclass(frozen=True)
class SplitFiles:
    """This class has the files of a split.

    Args:
        images: file of every image.
        maps: for every task the file of each image's map; ``None`` for images without a map.
        notes: lines that tell a user of files that are left out.
    """

    images: list[Path]
    maps: dict[str, list[Path | None]]
    notes: tuple[str, ...] = ()

    def part(self, rows: Sequence[int]) -> "SplitFiles":
        """Return the files of some images, given by their positions."""
        maps = {name: [paths[n] for n in rows] for name, paths in self.maps.items()}
        return SplitFiles([self.images[n] for n in rows], maps)


def find_files(root: Path, image_folder: str, tasks: Sequence[MapTask]) -> SplitFiles:
    """Find images in one folder, and maps of the same names, suffixes aside, in others.

    Raises:
        MtlError: if a folder is missing or has no fitting file, or an image has no map of any task;
            the message names it.
    """
    notes: list[str] = []
    images = _files(root / image_folder, {*picture_suffixes(), ".npy"}, notes)
    stems = {path.stem for path in images}
    maps: dict[str, list[Path | None]] = {}
    for task in tasks:
        by_stem = {path.stem: path for path in _files(root / task.folder, set(SUFFIXES), notes)}
        if alone := [path for stem, path in by_stem.items() if stem not in stems]:
            without = counted(len(alone), "map")
            notes.append(f"left out {without} without an image, e.g. {alone[0]}")
        maps[task.name] = [by_stem.get(image.stem) for image in images]
        if not any(maps[task.name]):
            raise MtlError(
                f"no map in {root / task.folder} is called like an image in {root / image_folder}, "
                f"e.g. {images[0].stem}"
            )
    for number, image in enumerate(images):
        if not any(paths[number] for paths in maps.values()):
            raise MtlError(f"{image} has no map of any task: take it away, or add {image.stem}.npy")
    return SplitFiles(images, maps, tuple(notes))


def _files(folder: Path, suffixes: set[str], notes: list[str]) -> list[Path]:
    if not folder.is_dir():
        raise MtlError(f"there is no folder {folder}{listed(folder.parent)}")
    inside = [path for path in folder.iterdir() if not is_litter(path.name)]
    found = [path for path in inside if path.suffix.lower() in suffixes]
    if not found:
        raise MtlError(f"{folder} holds no file of {', '.join(sorted(suffixes))}")
    if len(inside) > len(found):
        notes.append(f"left out {len(inside) - len(found)} of other kinds in {folder}")
    stems: dict[str, Path] = {}
    for path in sorted(found, key=lambda p: (len(p.stem), p.stem)):  # 2 before 10
        if path.stem in stems:
            raise MtlError(f"{stems[path.stem]} and {path} have one name")
        if not is_text(path.name):
            raise MtlError(f"{ascii(str(path))[1:-1]} {NO_TEXT}")
        stems[path.stem] = path
    return list(stems.values())


def listed(folder: Path) -> str:
    """Return the end of a message that says what a folder holds; empty if there is no folder."""
    if not folder.is_dir():
        return ""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    more = ", ..." if len(names) > 8 else ""
    return f"; {folder} holds {', '.join(names[:8]) or 'nothing'}{more}"


def random_parts(count: int, shares: Sequence[float], seed: int) -> list[list[int]]:
    """Divide rows at random into disjoint parts.

    Args:
        count: number of rows.
        shares: share of each part but the last; a part of a share above 0 has at least one row.
        seed: seed of the random choice.

    Returns:
        row numbers of every part in ascending order; the last part has all rows that are left.
    """
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count).tolist()
    parts, start = [], 0
    for share in shares:
        size = max(1, round(share * count)) if share else 0
        parts.append(sorted(order[start : start + size]))
        start += size
    return [*parts, sorted(order[start:])]


def dense_suite(
    name: str,
    splits: Mapping[str, SplitFiles],
    tasks: Sequence[MapTask],
    size: tuple[int, int] | None,
    notes: Sequence[str] = (),
) -> Suite:
    """Make a suite whose images are read when they are needed, while maps are held.

    Maps are in memory or in a temporary file, see :class:`MapStack`.

    Args:
        name: name of the suite.
        splits: files of the splits train and test, and possibly validation.
        tasks: the tasks of the suite.
        size: height and width, in pixels, that images and maps are resized to, where classes take
            that of the nearest pixel; ``None`` leaves them as they are.
        notes: lines for the user.

    Raises:
        MtlError: if a file cannot be read, or does not fit its image or its task; the message names
            it.
    """
    images = {split: _images(files, size) for split, files in splits.items()}
    made, told = [], list(notes)
    for task in tasks:
        read = task.read or converted(task.kind, task.scale, task.ignored)
        shape = tuple(images["train"].shape[2:])
        stacks = {}
        for split, files in splits.items():
            unknown = float("nan") if task.kind == "numbers" else 0.0
            stacks[split] = stack = MapStack(len(files.images), task.kind, unknown)
            for row, path in enumerate(files.maps[task.name]):
                array = None if path is None else read(path)
                if path is not None and array is not None:
                    stack.put(row, _fitted(task.kind, array, path, shape, size))
        missing = sum(int((~stack.labelled).sum()) for stack in stacks.values())
        if missing:
            told.append(f"task {task.name!r}: {counted(missing, 'image')} without a map")
        for split, stack in stacks.items():
            if not stack.labelled.any():
                raise MtlError(
                    f"task {task.name!r} has no map of any image of the {split} split: choose "
                    "other splits, or leave the task out"
                )
        objective = _objective(task, stacks)
        examples = {split: _examples(images[split], stacks[split]) for split in splits}
        made.append(
            Task(
                task.name,
                objective,
                examples["train"],
                examples["test"],
                examples.get("validation"),
            )
        )
    pictures = picture_kinds(path for files in splits.values() for path in files.images)
    told += colour_lines(pictures.get("colours", {}))
    return Suite(name, made, common_input=True, notes=told, record={"pictures": pictures})


def _images(files: SplitFiles, size: tuple[int, int] | None) -> LazyInputs:
    names = [str(path) for path in files.images]
    return LazyInputs(names, transform=None if size is None else _Resized(size))


@dataclass(frozen=True)
class _Resized:
    """Resize images. This is a class so that it can be passed to worker processes."""

    size: tuple[int, int]

    def __call__(self, image: Tensor) -> Tensor:
        from torchvision.transforms.v2 import functional as transforms

        resized: Tensor = transforms.resize(image, list(self.size), antialias=True)
        return resized


_SMOOTH: Mapping[MapKind, MapObjective] = {
    "depth": Depth(),
    "normals": Normals(),
    "numbers": MapRegression(1),
}


def _fitted(
    kind: MapKind,
    array: NDArray[Any],
    path: Path,
    shape: Sequence[int],
    size: tuple[int, int] | None,
) -> NDArray[Any]:
    """Return a map that is as large as its image, resized if the user asks for a size."""
    if size is not None and array.shape[-2:] != size:
        target = torch.from_numpy(np.ascontiguousarray(array))
        given = target[None] if kind == "numbers" else target
        resized = resize_map(given, size, _SMOOTH.get(kind))
        array = (resized[0] if kind == "numbers" else resized).numpy()
    if array.shape[-2:] != tuple(shape):
        raise MtlError(
            f"{path} is a map of {array.shape[-2]}x{array.shape[-1]}, its image has "
            f"{shape[0]}x{shape[1]}; suite.size=[{shape[0]},{shape[1]}] resizes both"
        )
    return array


def _objective(task: MapTask, stacks: Mapping[str, MapStack]) -> MapObjective:
    """Return the objective of a task.

    In binary maps it is only known now what 255 stands for: 1 where maps hold nothing but 0 and
    255, no label where they hold 1, too. The stacks are changed accordingly.
    """
    if task.kind not in ("segmentation", "binary"):
        return task.objective or _SMOOTH[task.kind]
    seen = sorted(set().union(*(stack.seen for stack in stacks.values())))
    if task.kind == "binary":
        black_and_white = set(seen) <= {0, 255}
        if not black_and_white and not set(seen) <= {0, 1, 255}:
            raise MtlError(
                f"task {task.name!r} is binary, but its maps have the numbers "
                f"{', '.join(map(str, seen[:6]))}: say what stands for no label in "
                f"suite.ignored.{task.name}"
            )
        for stack in stacks.values():
            stack.set_white(1 if black_and_white else IGNORED)
        return task.objective or BinaryMap()
    classes = task.classes or max(seen, default=0) + 1
    if seen and (seen[-1] >= classes or seen[0] < 0):
        odd = seen[-1] if seen[-1] >= classes else seen[0]
        raise MtlError(f"task {task.name!r} has {classes} classes, but a map has number {odd}")
    if classes > IGNORED:
        raise MtlError(f"task {task.name!r}: at most {IGNORED} classes, found {classes}")
    return Segmentation(classes, task.class_names, IGNORED)


def _examples(images: LazyInputs, stack: MapStack) -> Examples:
    labelled = stack.labelled
    return Examples(images, stack.targets(), None if bool(labelled.all()) else labelled)
