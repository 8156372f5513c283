"""The names of folders say which splits and classes the images of a task are in."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from mtl_framework import MtlError
from mtl_framework.data import pictures_below, split_name

from .faults import Faults, listed
from .flat_splits import classes_of, flat_pictures, labelled
from .folder_contents import (
    NO_TEXT,
    count_beside,
    holds_pictures,
    is_text,
    only_files,
    split_folders,
    subfolders,
)
from .options import counted

# Pictures of two domains, as they are distributed to learn to translate one into the other
_DOMAINS = re.compile(r"(?:train|test|val|valid|validation)[_-]?[AB]")


@dataclass(frozen=True)
class Images:
    """This class holds the images of a task.

    Args:
        paths: file of every image.
        classes: name of every image's class.
        rows: positions of the images of every split, and under ``None`` of those in none yet.
        notes: lines that tell a user how folders were read.
    """

    paths: Sequence[Path]
    classes: Sequence[str]
    rows: Mapping[str | None, Int64[np.ndarray, " _"]]
    notes: Sequence[str] = ()

    def name(self, row: int) -> str:
        """Return what an image is called in messages."""
        return str(self.paths[row])


def scan(folder: Path, faults: Faults, left_out: Counter[str]) -> Images | None:
    """Find the images in a task's folder, and return ``None`` if there are none.

    Args:
        folder: folder of the task.
        faults: the collection that gets what is wrong.
        left_out: the counter that gets files which are not read and classes without images, by
            reason.
    """
    domains = [name for name in subfolders(folder) if _DOMAINS.fullmatch(name)]
    if len(domains) > 1:
        faults.add(
            str(folder),
            f"{listed(domains)} hold pictures of two domains, to be translated into each other, "
            "and no classes; to learn to tell the domains, call them train/A, train/B, test/A, ...",
        )
        return None
    by_split = _splits(folder, faults)
    found, notes = _samples_of(by_split, faults, left_out)
    if by_split and None not in by_split:
        count_beside(folder, "splits", left_out, notes)
    paths: list[Path] = []
    classes: list[str] = []
    rows: dict[str | None, Int64[np.ndarray, " _"]] = {}
    for split, read in found.items():
        samples = [pair for pair in read if _is_named(pair[0].relative_to(folder), faults)]
        rows[split] = np.arange(len(paths), len(paths) + len(samples))
        paths += [file for file, _ in samples]
        classes += [label for _, label in samples]
    if not by_split:
        faults.add(str(folder), f"the task has no folder of a split or a class{only_files(folder)}")
    if not rows:
        return None
    if None not in rows and "train" not in rows:
        faults.add(str(folder), "the task has no train split")
        return None
    return Images(paths, classes, rows, notes)


def _samples_of(
    by_split: Mapping[str | None, Path], faults: Faults, left_out: Counter[str]
) -> tuple[dict[str | None, list[tuple[Path, str]]], list[str]]:
    """Return every split's images with their classes, and lines that say where classes are from.

    If a file names the classes of one split, a test split without such a file is left out, because
    its classes are not published.
    """
    found: dict[str | None, list[tuple[Path, str]]] = {}
    unknown: dict[str | None, int] = {}
    notes = []
    for split, place in by_split.items():
        flat = flat_pictures(place) if split is not None else []
        classes = None
        try:
            classes = classes_of(place, flat) if flat else None
        except MtlError as error:
            faults.add(str(place), str(error))
            continue
        if classes is not None:
            found[split] = labelled(flat, classes, place, faults, left_out)
            notes.append(f"classes of the pictures in {place} are those in {classes.source}")
            notes.extend(classes.remarks)
        elif samples := [] if flat else _samples(place, left_out):
            found[split] = samples
        else:
            unknown[split] = len(flat)
    for split, count in unknown.items():
        place = by_split[split]
        if split == "test" and notes:
            left_out[f"pictures in {place}, whose classes are not known"] += count
        else:
            what = f"holds no image in a folder of a class{_without_class(place, count)}"
            faults.add(str(place), what)
    return found, notes


def _is_named(path: Path, faults: Faults) -> bool:
    named = is_text(str(path))
    if not named:
        faults.add(ascii(str(path))[1:-1], NO_TEXT)
    return named


def told(left_out: Counter[str], root: Path) -> list[str]:
    """Return a line for every reason why files were left out, with paths relative to a folder."""
    lines = [f"left out {reason}: {count}" for reason, count in sorted(left_out.items())]
    return [line.replace(f"{root.as_posix()}/", "") for line in lines]


def _splits(folder: Path, faults: Faults) -> dict[str | None, Path]:
    names, splits = subfolders(folder), split_folders(folder)
    if not splits:
        return {None: folder} if names else {}
    by_split: dict[str | None, Path] = {}
    for name in names:
        if name not in splits:
            whole = f", or read it alone with suite.path={folder / name}"
            remedy = f"move it elsewhere{whole if split_folders(folder / name) else ''}"
            faults.add(str(folder / name), f"is no split, but lies beside splits: {remedy}")
        elif split_name(name) in by_split:
            faults.add(str(folder / name), f"is a second {split_name(name)} split")
        else:
            by_split[split_name(name)] = folder / name
    return by_split


def _without_class(split: Path, count: int) -> str:
    """Return the end of a message on a split whose pictures are in no folder of a class.

    Args:
        split: folder of the split.
        count: number of the pictures.
    """
    if not count and not holds_pictures(split):
        return ": remove it, and examples of this split are taken from training"
    if not count:
        return ""
    what = f", but {counted(count, 'picture')}"
    if not any(subfolders(split.parent / name) for name in split_folders(split.parent)):
        what += f": move them to {split.name}/CLASS/ if {split.parent.name!r} is a task"
        return f"{what}, to {split.name}/{split.parent.name}/ if it is a class"
    return (
        f"{what}, whose classes are not known: put them into folders of their classes, name the "
        f"classes in {split.name}/labels.csv (PICTURE,CLASS), or move the folder elsewhere"
    )


def _samples(folder: Path, left_out: Counter[str]) -> list[tuple[Path, str]]:
    """Return the images in folders of classes, each with its class, in a fixed order."""
    samples = []
    for name in subfolders(folder):
        files = pictures_below(folder / name, left_out)
        if not files:
            left_out[f"classes without an image, {(folder / name).as_posix()}"] += 1
        samples += [(file, name) for file in files]
    count_beside(folder, "classes", left_out)
    return samples
