"""Paths in a table are those of files here, also where another computer wrote them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from os.path import exists, isfile  # which take names that no file can have for missing ones
from pathlib import Path

from mtl_framework import MtlError
from mtl_framework.data import is_litter, picture_suffixes

_TRIED = 20  # paths that are looked for to tell which folder they start from
_ABSOLUTE = re.compile(r"[A-Za-z]+:/|/|~/")
#: Paths, and lines that tell a user how they are read.
Resolved = tuple[list[str], tuple[str, ...]]


def resolved(cells: Sequence[str], root: Path) -> Resolved:
    r"""Return the paths of files for paths in a table, and lines on those that are read otherwise.

    Where there is no file with a path as written, ``\\`` is read as ``/``, the folder of another
    computer is taken off (``C:/data/img/1.png``), the suffix of the only picture of the name is
    appended, and neither capitals count nor whether an accent is a letter of its own. Paths for
    which that does not help stay as they are.

    Args:
        cells: the paths.
        root: folder that they start from.
    """
    found, told = list(cells), list[str]()
    for step in (_with_slashes, _from_here, _with_suffixes, _with_capitals):
        found, remarks = step(found, root)
        told += remarks
    return found, tuple(told)


def _with_slashes(cells: Sequence[str], root: Path) -> Resolved:
    r"""Replace ``\`` in paths by ``/`` where no file has the path as written, and say so."""
    written = [n for n, cell in enumerate(cells) if "\\" in cell and not isfile(root / cell)]
    found = list(cells)
    for n in written:
        found[n] = cells[n].replace("\\", "/")
    if not written:
        return found, ()
    return found, (f"paths such as {cells[written[0]]!r} are read with slashes: {len(written)}",)


def _from_here(cells: Sequence[str], root: Path) -> Resolved:
    """Take off the folder that absolute paths start with, where what is left is a file here."""
    away = [n for n, cell in enumerate(cells) if _ABSOLUTE.match(cell)]
    away = [n for n in away if not isfile(root / cells[n])]
    found = list(cells)
    if not away:
        return found, ()
    first, files = cells[away[0]], _Spelling(root)
    for slash in re.finditer("/", first):
        start = first[: slash.end()]
        there = [n for n in away if cells[n].startswith(start)]
        tails = [cells[n].removeprefix(start) for n in there[:_TRIED]]
        named, _ = _with_suffixes(tails, root)
        if all(tail and isfile(root / files.of(tail)) for tail in named):
            for n in there:
                found[n] = cells[n].removeprefix(start)
            return found, (f"paths that begin with {start!r} are read without that: {len(there)}",)
    return found, ()


class _Spelling:
    """A spelling finds the files that are called like a path but for capitals and code points.

    Args:
        root: folder that paths start from.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def of(self, path: str) -> str:
        """Return the path of the only file that is called so, or the path as it is."""
        if "\0" in path or exists(self._root / path):
            return path
        parts: list[str] = []
        for part in path.split("/"):
            here = self._entries(self._root.joinpath(*parts))
            alike = [part] if part in (".", "..", "") else here.get(_plain(part), [])
            if len(alike) != 1:
                return path
            parts += alike
        return "/".join(parts)

    def _entries(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listed:
            names = self._listed.setdefault(folder, {})
            for entry in folder.iterdir() if folder.is_dir() else ():
                names.setdefault(_plain(entry.name), []).append(entry.name)
        return self._listed[folder]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _with_capitals(cells: Sequence[str], root: Path) -> Resolved:
    """Replace paths by those of the only files that are called so but for capitals."""
    files = _Spelling(root)
    found = [cell and (cell if _ABSOLUTE.match(cell) else files.of(cell)) for cell in cells]
    changed = [n for n, cell in enumerate(cells) if found[n] != cell]
    if not changed:
        return found, ()
    cell, file = cells[changed[0]], found[changed[0]]
    shown = repr if cell.casefold() == file.casefold() else ascii
    return found, (
        "paths whose files are called so but for capitals or the code of letters, e.g. "
        f"{shown(cell)} for {shown(file)}: {len(changed)}",
    )


def _with_suffixes(cells: Sequence[str], root: Path) -> Resolved:
    """Append the suffix of the only picture of that name to paths without one, and say so."""
    wanted = {cell for cell in cells if cell and not _has_suffix(cell)}
    wanted = {cell for cell in wanted if not isfile(root / cell)}
    files: dict[Path, dict[str, list[str]]] = {}
    for folder in {(root / cell).parent for cell in wanted}:
        stems = files.setdefault(folder, {})
        for file in folder.iterdir() if folder.is_dir() else ():
            if _has_suffix(file.name) and not is_litter(file.name):
                stems.setdefault(file.name.removesuffix(file.suffix), []).append(file.suffix)
    suffixes = {}
    for cell in wanted:
        path = root / cell
        ends = files[path.parent].get(path.name, [])
        if len(ends) == 1:
            suffixes[cell] = ends[0]
    if not suffixes:
        return list(cells), ()
    count = Counter(suffixes.values())
    texts = ", ".join(f"{suffix} ({n})" for suffix, n in count.most_common())
    remark = f"names of pictures without a suffix: read with that of their file: {texts}"
    return [cell + suffixes.get(cell, "") for cell in cells], (remark,)


def _has_suffix(name: str) -> bool:
    return Path(name).suffix.lower() in {".npy", *picture_suffixes()}


def check_root(cells: Sequence[str], root: Path, data_root: Path) -> None:
    """Refuse paths that start from another folder, and name the one from which they seem to."""
    some = [cell for cell in cells if cell][:_TRIED]
    if not root.is_dir() or any(exists(root / cell) for cell in some):
        return
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        there, _ = _with_suffixes(some, folder)
        if all(isfile(folder / cell) for cell in there):
            try:
                where = folder.relative_to(data_root).as_posix()
            except ValueError:
                where = folder.as_posix()
            raise MtlError(
                f"{root} has no picture of the table, e.g. {some[0]!r}, but {folder} has: set "
                f"suite.images_root={where}"
            )
