"""What a folder holds: folders, and pictures by their suffixes; systems' litter does not count."""

import os
from collections import Counter
from pathlib import Path

from mtl_framework.data import is_litter, known_split, picture_suffixes

from .foreign import REMEDIES

DEEPEST = 8  # levels that are looked at to say what lies there
_MOST_FILES = 10_000  # that are looked at to say what lies there


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder that are no system's litter."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not is_litter(p.name))


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that lie in a folder itself, by name."""
    files = (path for path in folder.iterdir() if path.is_file() and not is_litter(path.name))
    return sorted(path for path in files if path.suffix.lower() in picture_suffixes())


def holds_pictures(folder: Path) -> bool:
    """Whether a picture lies anywhere below; the first one ends the search."""
    for place, folders, files in os.walk(folder, followlinks=True):
        if place.count(os.sep) - str(folder).count(os.sep) > DEEPEST:
            folders.clear()
        if any(Path(name).suffix.lower() in picture_suffixes() for name in files):
            return True
    return False


def with_pictures(folder: Path) -> list[str]:
    """Names of the folders in a folder that have pictures; all names where there is only one."""
    names = subfolders(folder)
    return [name for name in names if len(names) == 1 or holds_pictures(folder / name)]


def split_folders(folder: Path) -> list[str]:
    """Names of the folders that are splits; none where they are classes that are called so."""
    names = subfolders(folder)
    splits = [name for name in names if known_split(name)]
    if len(splits) < len(names) and all(holds_classes_images(folder / name) for name in names):
        return []
    return splits


def holds_classes_images(folder: Path) -> bool:
    """Whether a folder holds images and no folder."""
    return holds_images(folder) and not subfolders(folder)


def only_files(folder: Path) -> str:
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


def holds_images(folder: Path) -> bool:
    """Whether an image lies in a folder itself."""
    return any(p.suffix.lower() in picture_suffixes() for p in folder.iterdir() if p.is_file())
