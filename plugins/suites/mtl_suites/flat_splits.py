"""The pictures of a split may lie in one folder, with a file beside them that names the classes.

The validation pictures of Tiny ImageNet do (``val/images`` and ``val/val_annotations.txt``), and
those of ImageNet as Kaggle distributes it (``Data/CLS-LOC/val`` with ``LOC_val_solution.csv``, or
with a file in ``Annotations/CLS-LOC/val`` for each picture).
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl_framework import MtlError
from mtl_framework.data import is_litter

from .faults import Faults
from .folder_contents import pictures_in, subfolders, with_pictures

_FOLDERS = {"images", "image", "imgs", "img", "jpegimages", "pictures"}  # names that are no classes
_FILE = re.compile(r"(?:.*[_\- .])?(?:annotations?|labels?)\.(?:txt|csv|tsv)", re.IGNORECASE)
_OBJECT = re.compile(rb"<object>.*?<name>([^<]+)</name>", re.DOTALL)


@dataclass(frozen=True)
class Classes:
    """This class holds the classes that a file, or a folder of files, gives to pictures.

    Args:
        source: the file or folder.
        by_picture: the class of every picture, by the picture's name with or without its suffix.
    """

    source: Path
    by_picture: Mapping[str, str]


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
    if files:
        return Classes(files[0], dict(_rows(files[0], pictures)))
    whole = split.absolute()
    for folder in whole.parents[:4]:  # TOP/ILSVRC/Data/CLS-LOC/val
        solution = folder / f"LOC_{split.name}_solution.csv"
        if solution.is_file():
            rows = _rows(solution, pictures)
            return Classes(solution, {name: (text.split() or [""])[0] for name, text in rows})
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


def _rows(file: Path, pictures: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield the first two cells of every line, which are a picture's name and its class.

    The first line is a header, and left out, if it names no picture.
    """
    known = {name for path in pictures for name in (path.name, path.stem)}
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MtlError(f"{file} cannot be read as text in UTF-8: {error}") from error
    first = text.partition("\n")[0]
    delimiter = next((mark for mark in "\t,;" if mark in first), " ")
    seen: dict[str, int] = {}
    for number, cells in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), 1):
        cells = [cell.strip() for cell in cells]
        if not any(cells) or (number == 1 and cells[0] not in known):
            continue
        if len(cells) < 2:
            raise MtlError(f"{file}:{number} should have a picture and its class, found {cells[0]}")
        if cells[0] in seen:
            raise MtlError(f"{file}:{number} names {cells[0]} again, as line {seen[cells[0]]} does")
        seen[cells[0]] = number
        yield cells[0], cells[1]


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
