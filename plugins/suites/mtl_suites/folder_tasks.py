"""The tasks are the folders in a root, or the root itself, with splits or classes in it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import pictures_below

from .faults import listed
from .folder_contents import (
    holds_images,
    holds_pictures,
    only_files,
    pictures_in,
    split_folders,
    subfolders,
    with_pictures,
)
from .options import counted, rejoined

#: What a root is: one ``task``, whose splits or classes its folders are, or a folder of ``tasks``.
Layout = Literal["auto", "task", "tasks"]
# Folders are no classes for sure if those below them have more than so many times their pictures
_FEW = 10
_FOLD = re.compile(r"(?:fold|split|cv)[ _-]?\d+", re.IGNORECASE)


def task_folders(
    root: Path, wanted: Sequence[str] | None, layout: Layout = "auto"
) -> tuple[dict[str, Path], str | None]:
    """Return the folder of every task, by name, and a line that says what the root was taken for.

    A root that holds splits, or folders with images in each of them, is one task, with the name of
    the root or the one in ``wanted``; otherwise every folder in it is a task.

    Args:
        root: the folder.
        wanted: names of the tasks that the user wants; ``None`` takes all.
        layout: what the user says that the root is; ``auto`` finds out.

    Raises:
        MtlError: if there is no such folder or nothing in it, or if it cannot be told whether
            folders are classes or tasks.
        UnknownNameError: if a task that is wanted has no folder.
    """
    if not root.is_dir():
        raise MtlError(_not_there(root))
    root, line = _unwrapped(root, wanted)
    present = subfolders(root)
    if not present:
        raise MtlError(f"{root} should hold one folder a task, found none{_pictures_in(root)}")
    wanted = wanted and rejoined(wanted, present)
    filled = [name for name in present if holds_pictures(root / name)]
    if not filled:
        raise MtlError(f"{root} holds no picture that is read{only_files(root)}")
    lines = [line] if line else []
    splits = split_folders(root)
    as_tasks = bool(wanted) and set(wanted or ()) <= set(present) - set(splits)
    if layout == "task" or (layout == "auto" and splits and not as_tasks):
        what = f"splits {listed(splits)}" if splits else f"classes {listed(filled)}"
        return _one_task(root, wanted, [*lines, what])
    named = bool(wanted) and set(wanted or ()) <= set(present)
    if layout == "auto" and not named and (inside := _classes(root, filled)) is not None:
        more = f"; pictures in folders below a class are its, as in {inside}" if inside else ""
        return _one_task(root, wanted, [*lines, f"classes {listed(filled)}{more}"])
    for name in wanted or ():
        if name not in present:
            raise UnknownNameError(f"task: folder in {root}", name, present)
    tasks = {name: root / name for name in wanted or present}
    if layout == "auto" and len(filled) > 1:
        lines.extend(_told(root, tasks))
    return tasks, "; ".join(lines) or None


def _one_task(
    root: Path, wanted: Sequence[str] | None, lines: list[str]
) -> tuple[dict[str, Path], str]:
    name = _one_name(root, wanted)
    *before, what = lines
    return {name: root}, "; ".join([*before, f"{root} is one task, {name!r}, with the {what}"])


def _classes(root: Path, filled: Sequence[str]) -> str | None:
    """Find out whether the folders in a root are classes, each of which holds pictures itself.

    Returns:
        ``None`` if they are no classes; otherwise a folder below a class that holds pictures, too,
        or an empty text if there is none.

    Raises:
        MtlError: if each folder holds a few pictures beside folders with many.
    """
    if not all(holds_images(root / name) for name in filled):
        return None
    inside = [f"{name}/{deeper}" for name in filled for deeper in _with_some(root / name)]
    if not inside:
        return ""
    if len(filled) < 2:
        return None
    here = sum(len(pictures_in(root / name)) for name in filled)
    below = sum(len(pictures_below(root / name)) for name in filled) - here
    if _FEW * here < below:
        raise MtlError(
            f"{root}: folders such as {filled[0]!r} hold {counted(here, 'picture')} themselves and "
            f"{below} in folders such as {inside[0]!r}: say whether they are classes of one task "
            "(suite.layout=task) or tasks (suite.layout=tasks, which leaves the former out)"
        )
    return inside[0]


def _with_some(folder: Path) -> list[str]:
    return [name for name in subfolders(folder) if holds_pictures(folder / name)]


def _told(root: Path, tasks: dict[str, Path]) -> list[str]:
    """Return a line if folders are taken for tasks that may be classes with folders in them."""
    if all(split_folders(place) for place in tasks.values()):
        return []
    if all(_FOLD.fullmatch(name) for name in tasks):
        what = "seem to be parts of a cross-validation, and are taken for tasks"
        return [f"{root}: {listed(list(tasks))} {what}; suite.tasks names one"]
    return [
        f"{root}: every folder is a task, and those in it are classes: {listed(list(tasks))}; "
        "suite.layout=task takes the former for classes"
    ]


def _not_there(root: Path) -> str:
    if root.is_file():
        return f"{root} is a file and no folder: unpack it, and say where with suite.path"
    return f"there is no folder {root}; say where the data lies with --data-root and suite.path"


def _unwrapped(root: Path, wanted: Sequence[str] | None) -> tuple[Path, str]:
    """Skip folders that have pictures in a single folder only, as unpacked archives do.

    Returns:
        the folder at which the search ends, and a line on it, which is empty if it is ``root``.
    """
    place, alone = root, True
    while True:
        inside = with_pictures(place)
        deeper = with_pictures(place / inside[0]) if len(inside) == 1 else []
        if len(deeper) != 1 or set(wanted or ()) & set(inside) or split_folders(place / inside[0]):
            break
        if pictures_in(place / inside[0]) or not subfolders(place / inside[0] / deeper[0]):
            break
        alone = alone and len(subfolders(place)) == 1
        place = place / inside[0]
    what = "nothing but" if alone else "pictures in nothing but"
    return place, f"{root} holds {what} {place}" if place != root else ""


def _pictures_in(folder: Path) -> str:
    count = len(pictures_in(folder))
    remedy = "put those of a class into a folder of its name, or list them with labels in a table"
    return f", but {counted(count, 'picture')}: {remedy} (suite table)" if count else ""


def _one_name(root: Path, wanted: Sequence[str] | None) -> str:
    name = root.resolve().name or "images"
    if wanted and len(wanted) > 1:
        raise UnknownNameError(f"task: {root} holds one task, not", ", ".join(wanted), [name])
    return wanted[0] if wanted else name
