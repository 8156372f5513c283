"""The pictures of a split may lie in one folder, with a file beside them that names the classes.

The validation pictures of Tiny ImageNet do (``val/images`` and ``val/val_annotations.txt``), and
those of ImageNet as Kaggle distributes it (``Data/CLS-LOC/val`` with ``LOC_val_solution.csv``, or
with a file in ``Annotations/CLS-LOC/val`` for each picture).
"""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl_framework import MtlError
from mtl_framework.data import is_litter

from .dialects import decoded
from .faults import Faults
from .folder_contents import pictures_in, subfolders, with_pictures
from .options import counted

_FOLDERS = {"images", "image", "imgs", "img", "jpegimages", "pictures"}  # names that are no classes
_FILE = re.compile(r"(?:.*[_\- .])?(?:annotations?|labels?)\.(?:txt|csv|tsv)", re.IGNORECASE)
_CLASS_WORDS = {
    *("class", "classes", "label", "labels", "category", "target", "species", "synset", "wnid"),
    *("class_name", "classname", "class name", "label_name", "y"),
}
_OBJECT = re.compile(rb"<object>.*?<name>([^<]+)</name>", re.DOTALL)


@dataclass(frozen=True)
class Classes:
    """This class holds the classes that a file, or a folder of files, gives to pictures.

    Args:
        source: the file or folder.
        by_picture: the class of every picture, by the picture's name with or without its suffix.
        remarks: lines for the user on how the file was read.
    """

    source: Path
    by_picture: Mapping[str, str]
    remarks: Sequence[str] = ()


def flat_pictures(split: Path) -> list[Path]:
    """Return the pictures of a split that lie in no folder of a class.

    Args:
        split: folder of the split.

    Returns:
        the pictures in the folder, or in the only folder inside if that is called like ``images``;
        none if the split has folders of classes.
    """
    names = with_pictures(split)
    here = pictures_in(split)
    if not names:
        return here
    inside = split / names[0]
    alone = len(names) == 1 and not here and names[0].lower() in _FOLDERS
    return pictures_in(inside) if alone and not subfolders(inside) else []


def classes_of(split: Path, pictures: Sequence[Path]) -> Classes | None:
    """Return the classes of pictures that lie in one folder; ``None`` if no known file names them.

    Args:
        split: folder of the split.
        pictures: the pictures.

    Raises:
        MtlError: if a file that should name the classes cannot be read, or there are two such
            files.
    """
    files = sorted(p for p in split.iterdir() if p.is_file() and _FILE.fullmatch(p.name))
    if len(files) > 1:
        names = " and ".join(path.name for path in files[:2])
        raise MtlError(f"{names} may both name the classes of the pictures: move one elsewhere")
    remarks: list[str] = []
    if files:
        return Classes(files[0], dict(_rows(files[0], pictures, remarks)), remarks)
    whole = split.absolute()
    for folder in whole.parents[:4]:  # TOP/ILSVRC/Data/CLS-LOC/val
        solution = folder / f"LOC_{split.name}_solution.csv"
        if solution.is_file():
            rows = _rows(solution, pictures, remarks)
            named = {name: (text.split() or [""])[0] for name, text in rows}
            return Classes(solution, named, remarks)
    notes = whole.parents[2] / "Annotations" / whole.parent.name / whole.name
    if whole.parents[1].name == "Data" and notes.is_dir():
        return Classes(notes, dict(_objects(notes, pictures)))
    return None


def labelled(
    pictures: Sequence[Path], classes: Classes, split: Path, faults: Faults, left_out: Counter[str]
) -> list[tuple[Path, str]]:
    """Return pictures with their classes.

    Args:
        pictures: the pictures of the split.
        classes: the classes of pictures.
        split: folder of the split.
        faults: the collection that gets pictures without a class, and classes without a picture.
        left_out: the counter that gets other files beside the pictures, by reason.
    """
    samples, used = [], set()
    for path in pictures:
        name = next((n for n in (path.name, path.stem) if n in classes.by_picture), None)
        if name is None or not classes.by_picture[name]:
            faults.add(str(path), f"has no class in {classes.source}")
            continue
        used.add(name)
        samples.append((path, classes.by_picture[name]))
    for name in classes.by_picture:
        if name not in used:
            faults.add(str(classes.source), f"names {name!r}, which is no picture of {split}")
    for folder in {split, *(path.parent for path in pictures)}:
        files = {p for p in folder.iterdir() if p.is_file() and not is_litter(p.name)}
        if beside := files - set(pictures) - {classes.source}:
            left_out[f"files in {folder} beside the pictures"] += len(beside)
    return samples


def _rows(file: Path, pictures: Sequence[Path], remarks: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the name of a picture and its class for every line.

    The first line is a header, and left out, if it names no picture. Pictures are in the column
    that names most of them; classes in the other one, or the one that a header calls so; without a
    header in the second.
    """
    known = {name for path in pictures for name in (path.name, path.stem)}
    try:
        text, told = decoded(file, file.read_bytes(), None)
    except OSError as error:
        raise MtlError(f"{file} cannot be read: {error.strerror}") from error
    except MtlError as error:
        raise MtlError(
            str(error).replace(", or name its encoding, e.g. suite.encoding=gbk", "")
        ) from error
    remarks.extend(line.replace("; suite.encoding names another", "") for line in told)
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    delimiter = next((mark for mark in "\t,;" if mark in first), " ")
    rows = [
        (number, [cell.strip() for cell in cells])
        for number, cells in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), 1)
    ]
    rows = [(number, cells) for number, cells in rows if any(cells)]
    if not rows:
        return
    alike: dict[str, set[str]] = {}
    for name in known:
        alike.setdefault(name.casefold(), set()).add(name)
    folded = {*known, *alike}
    names_one = any(_certainty(cell, folded) for cell in rows[0][1])
    header = None if names_one else rows.pop(0)[1]
    at, label = _columns(file, header, [cells for _, cells in rows], folded)
    seen: dict[str, int] = {}
    others = 0
    for number, cells in rows:
        if len(cells) <= max(at, label):
            raise MtlError(f"{file}:{number} should have a picture and its class, found {cells[0]}")
        name = _name(cells[at], folded)
        if name not in known and len(alike.get(name.casefold(), ())) == 1:
            (name,), others = alike[name.casefold()], others + 1
        if name in seen:
            raise MtlError(f"{file}:{number} names {name} again, as line {seen[name]} does")
        seen[name] = number
        yield name, cells[label]
    if others:
        remarks.append(f"{file}: {counted(others, 'name')} of pictures that differ in capitals")


def _name(cell: str, known: Collection[str]) -> str:
    """Return a picture's name without the folders before it; ``known`` has small letters, too."""
    last = cell.replace("\\", "/").rpartition("/")[2]
    here = last in known or last.casefold() in known
    return last if cell not in known and here else cell


def _certainty(cell: str, known: Collection[str]) -> int:
    """Return 2 for a picture's name, 1 for one without its suffix, which may be a number."""
    name = _name(cell, known)
    return (1 + ("." in name)) * (name in known or name.casefold() in known)


def _columns(
    file: Path, header: list[str] | None, rows: Sequence[list[str]], known: Collection[str]
) -> tuple[int, int]:
    """Return the positions of the columns of pictures and of classes."""
    width = max([len(cells) for cells in rows] + [len(header or ())])
    named = [
        sum(_certainty(cells[n], known) for cells in rows if n < len(cells)) for n in range(width)
    ]
    at = named.index(max(named))
    others = [n for n in range(width) if n != at]
    called = [n for n in others if header and n < len(header) and header[n].lower() in _CLASS_WORDS]
    if len(others) == 1 or len(called) == 1:
        return at, (called or others)[0]
    if header is None and at == 0:
        return 0, 1
    columns = ", ".join(header) if header else f"{width} columns"
    raise MtlError(
        f"{file} has the columns {columns}, of which it is not known which one names the classes: "
        "keep two, PICTURE and CLASS, or call the latter class"
    )


def _objects(folder: Path, pictures: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield the name of every picture, and the class of the objects in it by its XML file.

    All objects in a picture should have one class.
    """
    for path in pictures:
        file = folder / f"{path.stem}.xml"
        try:
            names = {name.strip() for name in _OBJECT.findall(file.read_bytes())}
        except FileNotFoundError:
            continue  # labelled() reports a picture without a class
        except OSError as error:
            raise MtlError(f"cannot read {file}: {error.strerror}") from error
        if len(names) > 1:
            raise MtlError(f"{file} has objects of several classes")
        if names:
            yield path.name, names.pop().decode("utf-8", "replace")
