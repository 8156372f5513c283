"""This module says what a folder holds: folders, and pictures, which it knows by their suffixes.

Files that operating systems leave behind, such as ``Thumbs.db``, do not count.
"""

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from mtl_framework.data import is_litter, known_split, picture_suffixes

from .faults import listed
from .foreign import REMEDIES

DEEPEST = 8  # levels of folders that are looked at to say what a folder holds
#: What is wrong with a file whose name :func:`is_text` refuses.
NO_TEXT = "has a name that is no text in UTF-8: rename it"
_MOST_FILES = 10_000  # files that are looked at to say what a folder holds


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder.

    Those of operating systems, and links to a folder above, are left out.
    """
    inside = [path for path in folder.iterdir() if path.is_dir() and not is_litter(path.name)]
    return sorted(path.name for path in inside if not _leads_up(path))


def is_text(name: str) -> bool:
    """Say whether a name is one in UTF-8, without which no record can name the file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def links_to_nothing(folder: Path) -> int:
    """Count the links in a folder that lead to no file, or to a folder above."""
    links = [path for path in folder.iterdir() if path.is_symlink() and not is_litter(path.name)]
    return sum(not path.exists() or _leads_up(path) for path in links)


def _leads_up(path: Path) -> bool:
    try:
        return path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return True


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures that are in a folder itself, sorted by name."""
    files = (path for path in folder.iterdir() if path.is_file() and not is_litter(path.name))
    return sorted(path for path in files if path.suffix.lower() in picture_suffixes())


def holds_pictures(folder: Path) -> bool:
    """Say whether there is a picture in a folder or in folders below it."""
    for place, folders, files in os.walk(folder, followlinks=True):
        if place.count(os.sep) - str(folder).count(os.sep) > DEEPEST:
            folders.clear()
        if any(Path(name).suffix.lower() in picture_suffixes() for name in files):
            return True
    return False


def count_beside(
    folder: Path, what: str, left_out: Counter[str], read: Collection[str] = ()
) -> None:
    """Count what lies beside folders and is not read: pictures, which are named, and other files.

    Args:
        folder: the folder.
        what: what the folders in it are: ``classes``, ``splits`` or ``tasks``.
        left_out: the counter that gets the numbers, by reason.
        read: texts that name files which are read.
    """
    inside = sorted(folder.iterdir())
    files = [path for path in inside if path.is_file() and not is_litter(path.name)]
    files = [path for path in files if not any(path.name in text for text in read)]
    pictures = [path.name for path in files if path.suffix.lower() in picture_suffixes()]
    if pictures:
        names = listed([ascii(name)[1:-1] if not is_text(name) else name for name in pictures], 3)
        left_out[f"pictures in {folder} beside the folders of {what} ({names})"] += len(pictures)
    if len(files) > len(pictures):
        others = len(files) - len(pictures)
        left_out[f"files in {folder} beside the folders of {what}"] += others
    if links := links_to_nothing(folder):
        left_out[f"links in {folder} that lead to nothing, or to a folder above"] += links
    if litter := sum(is_litter(path.name) for path in inside):
        left_out["a system's or hidden files"] += litter


def with_pictures(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that hold pictures.

    A single folder counts whether it holds pictures or not.
    """
    names = subfolders(folder)
    return [name for name in names if len(names) == 1 or holds_pictures(folder / name)]


def split_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that are splits.

    Folders with the name of a split are classes if they stand beside others and all of them hold
    pictures and no folders, e.g. ``train``, ``bus`` and ``car``.
    """
    names = subfolders(folder)
    splits = [name for name in names if known_split(name)]
    if len(splits) < len(names) and all(holds_classes_images(folder / name) for name in names):
        return []
    return splits


def holds_classes_images(folder: Path) -> bool:
    """Say whether a folder holds images and no folders."""
    return holds_images(folder) and not subfolders(folder)


def only_files(folder: Path) -> str:
    """Return the end of a message on a folder without pictures.

    It says which files there are most of, and what to do about them; it is empty without files.
    """
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


def holds_images(folder: Path) -> bool:
    """Say whether there is an image in a folder itself."""
    return any(p.suffix.lower() in picture_suffixes() for p in folder.iterdir() if p.is_file())
