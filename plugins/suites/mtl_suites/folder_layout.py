"""What lies in folders of images: tasks, splits and classes by the names of folders."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import is_litter, known_split, picture_suffixes, pictures_below, split_name

from .faults import Faults, listed
from .flat_splits import classes_of, flat_pictures, labelled
from .folder_contents import DEEPEST, holds_pictures, pictures_in, subfolders, with_pictures
from .foreign import REMEDIES
from .options import counted

_MOST_FILES = 10_000  # that are looked at to say what lies there


@dataclass(frozen=True)
class Images:
    """Images of a task.

    Args:
        paths: files of the images.
        classes: names of their classes.
        rows: numbers of the images by split, under ``None`` of those in none.
        notes: what a user should know, one line each.
    """

    paths: Sequence[Path]
    classes: Sequence[str]
    rows: Mapping[str | None, Int64[np.ndarray, " _"]]
    notes: Sequence[str] = ()

    def name(self, row: int) -> str:
        """What an image is called in messages."""
        return str(self.paths[row])


def task_folders(root: Path, wanted: Sequence[str] | None) -> tuple[dict[str, Path], str | None]:
    """The folder of every task, by name, and a line where the whole root is one task.

    A root that holds splits, or classes with images in them, is one task that is called as the
    root is, or as ``wanted`` says; else every folder in it is a task.

    Raises:
        MtlError: if there is no such folder, or nothing in it.
        UnknownNameError: if a task that is wanted has no folder.
    """
    if not root.is_dir():
        raise MtlError(_not_there(root))
    root, line = _unwrapped(root, wanted)
    present = subfolders(root)
    empty = [name for name in present if not holds_pictures(root / name)]
    if present and len(empty) == len(present):
        raise MtlError(f"{root} holds no picture that is read{_only_files(root)}")
    if not present:
        raise MtlError(f"{root} should hold one folder a task, found none{_pictures_in(root)}")
    splits = _split_folders(root)
    lines = [line] if line else []
    if splits and not (wanted and set(wanted) <= set(present) - set(splits)):
        name = _one_name(root, wanted)
        line = f"{root} is one task, {name!r}, with the splits {listed(splits)}"
        return {name: root}, "; ".join([*lines, line])
    flat = all(_holds_classes_images(root / name) for name in present)
    if flat and not (wanted and set(wanted) <= set(present)):
        name = _one_name(root, wanted)
        line = f"{root} is one task, {name!r}, with the classes {listed(present)}"
        return {name: root}, "; ".join([*lines, line])
    for name in wanted or ():
        if name not in present:
            raise UnknownNameError(f"task: folder in {root}", name, present)
    return {name: root / name for name in wanted or present}, "; ".join(lines) or None


def _only_files(folder: Path) -> str:
    """What a folder holds instead of pictures, most of all, and what to do about it."""
    count: Counter[str] = Counter()
    for place, folders, files in os.walk(folder):
        if place.count(os.sep) - str(folder).count(os.sep) > DEEPEST:
            folders.clear()
        count.update("".join(Path(n).suffixes[-2:]).lower() for n in files if not is_litter(n))
        if count.total() > _MOST_FILES:
            break
    if not count:
        return ""
    suffix, number = count.most_common(1)[0]
    known = [end for end in REMEDIES if (suffix.endswith(end) if end else not suffix)]
    remedy = f": {REMEDIES[known[0]]}" if known else ""
    if suffix in picture_suffixes():
        remedy = ": put those of a class into a folder of its name"
    what = f"{suffix} files" if suffix else "files without a suffix"
    return f", but {number} {what}{remedy}"


def _not_there(root: Path) -> str:
    if root.is_file():
        return f"{root} is a file and no folder: unpack it, and say where with suite.path"
    return f"there is no folder {root}; say where the data lies with --data-root and suite.path"


def _unwrapped(root: Path, wanted: Sequence[str] | None) -> tuple[Path, str]:
    """The folder below ones with pictures in nothing but one folder, as archives do; and a line."""
    place, alone = root, True
    while True:
        inside = with_pictures(place)
        deeper = with_pictures(place / inside[0]) if len(inside) == 1 else []
        if len(deeper) != 1 or set(wanted or ()) & set(inside) or _split_folders(place / inside[0]):
            break
        if pictures_in(place / inside[0]) or not subfolders(place / inside[0] / deeper[0]):
            break
        alone = alone and len(subfolders(place)) == 1
        place = place / inside[0]
    what = "nothing but" if alone else "pictures in nothing but"
    return place, f"{root} holds {what} {place}" if place != root else ""


def _split_folders(folder: Path) -> list[str]:
    """Names of the folders that are splits; none where they are classes that are called so."""
    names = subfolders(folder)
    splits = [name for name in names if known_split(name)]
    if len(splits) < len(names) and all(_holds_classes_images(folder / name) for name in names):
        return []
    return splits


def _holds_classes_images(folder: Path) -> bool:
    return _holds_images(folder) and not subfolders(folder)


def _pictures_in(folder: Path) -> str:
    count = len(pictures_in(folder))
    remedy = "put those of a class into a folder of its name, or list them with labels in a table"
    return f", but {counted(count, 'picture')}: {remedy} (suite table)" if count else ""


def scan(folder: Path, faults: Faults, left_out: Counter[str]) -> Images | None:
    """What lies in a task's folder; ``None`` where there is no image.

    Args:
        folder: of the task.
        faults: gets what is wrong.
        left_out: gets files that are not read, and classes without any, counted by reason.
    """
    by_split = _splits(folder, faults)
    found, notes = _samples_of(by_split, faults, left_out)
    paths: list[Path] = []
    classes: list[str] = []
    rows: dict[str | None, Int64[np.ndarray, " _"]] = {}
    for split, samples in found.items():
        rows[split] = np.arange(len(paths), len(paths) + len(samples))
        paths += [file for file, _ in samples]
        classes += [label for _, label in samples]
    if not by_split:
        faults.add(
            str(folder), f"the task has no folder of a split or a class{_only_files(folder)}"
        )
    if not rows:
        return None
    if None not in rows and "train" not in rows:
        faults.add(str(folder), "the task has no train split")
        return None
    return Images(paths, classes, rows, notes)


def _samples_of(
    by_split: Mapping[str | None, Path], faults: Faults, left_out: Counter[str]
) -> tuple[dict[str | None, list[tuple[Path, str]]], list[str]]:
    """Images and classes of every split that has some, and lines that say where classes are from.

    Where a file names the classes of one split, a test split without such a file is one that nobody
    has the classes of, and is left out.
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


def told(left_out: Counter[str], root: Path) -> list[str]:
    """What was left out, a line a reason, places as seen from a folder."""
    lines = [f"left out {reason}: {count}" for reason, count in sorted(left_out.items())]
    return [line.replace(f"{root.as_posix()}/", "") for line in lines]


def _one_name(root: Path, wanted: Sequence[str] | None) -> str:
    name = root.resolve().name or "images"
    if wanted and len(wanted) > 1:
        raise UnknownNameError(f"task: {root} holds one task, not", ", ".join(wanted), [name])
    return wanted[0] if wanted else name


def _holds_images(folder: Path) -> bool:
    return any(p.suffix.lower() in picture_suffixes() for p in folder.iterdir() if p.is_file())


def _splits(folder: Path, faults: Faults) -> dict[str | None, Path]:
    names, splits = subfolders(folder), _split_folders(folder)
    if not splits:
        return {None: folder} if names else {}
    by_split: dict[str | None, Path] = {}
    for name in names:
        if name not in splits:
            faults.add(str(folder / name), "is no split, but lies beside splits: move it elsewhere")
        elif split_name(name) in by_split:
            faults.add(str(folder / name), f"is a second {split_name(name)} split")
        else:
            by_split[split_name(name)] = folder / name
    return by_split


def _without_class(split: Path, count: int) -> str:
    """What to do about a split whose pictures, so many, are in no folder of a class."""
    if not count:
        return ""
    what = f", but {counted(count, 'picture')}"
    if not any(subfolders(split.parent / name) for name in _split_folders(split.parent)):
        what += f": move them to {split.name}/CLASS/ if {split.parent.name!r} is a task"
        return f"{what}, to {split.name}/{split.parent.name}/ if it is a class"
    return (
        f"{what}, whose classes are not known: put them into folders of their classes, name the "
        f"classes in {split.name}/labels.csv (PICTURE,CLASS), or move the folder elsewhere"
    )


def _samples(folder: Path, left_out: Counter[str]) -> list[tuple[Path, str]]:
    """Images and their classes, in a fixed order."""
    samples = []
    for name in subfolders(folder):
        files = pictures_below(folder / name, left_out)
        if not files:
            left_out[f"classes without an image, {(folder / name).as_posix()}"] += 1
        samples += [(file, name) for file in files]
    beside = [p for p in folder.iterdir() if p.is_file() and not is_litter(p.name)]
    if beside:
        left_out[f"files in {folder} beside the folders of classes"] += len(beside)
    left_out["a system's or hidden files"] += sum(is_litter(p.name) for p in folder.iterdir())
    if not left_out["a system's or hidden files"]:
        del left_out["a system's or hidden files"]
    return samples
