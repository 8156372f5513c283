"""The files of a folder are listed: images, and a count of the others by reason."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .pictures import picture_suffixes

# What systems leave behind in folders of data, beside names that begin with a dot (`._1.jpg`).
_LITTER = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"}


def is_litter(name: str) -> bool:
    """Say whether a file or folder of this name belongs to the operating system, or is hidden."""
    return name.startswith(".") or name.lower() in _LITTER


def pictures_below(folder: Path, left_out: Counter[str] | None = None) -> list[Path]:
    """Return all image files below a folder, by their suffixes, in a fixed order.

    Links to folders are followed, each folder once.

    Args:
        folder: the folder to look in.
        left_out: is given the number of files that are no images, by reason.
    """
    seen: set[Path] = set()
    return sorted(_walk(folder, Counter() if left_out is None else left_out, seen))


def _walk(folder: Path, left_out: Counter[str], seen: set[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    for path in sorted(folder.iterdir()):
        if is_litter(path.name):
            left_out["a system's or hidden files"] += 1
        elif path.is_dir():
            yield from _walk(path, left_out, seen)
        elif path.suffix.lower() in picture_suffixes():
            yield path
        else:
            left_out[f"{path.suffix or 'no suffix'}: not a kind of image that is read"] += 1
