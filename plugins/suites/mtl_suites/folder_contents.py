"""What a folder holds: folders, and pictures by their suffixes; systems' litter does not count."""

import os
from pathlib import Path

from mtl_framework.data import is_litter, picture_suffixes

DEEPEST = 8  # levels that are looked at to say what lies there


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
