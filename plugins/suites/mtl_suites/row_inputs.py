"""Inputs of a table's rows: images in files, or one array with an entry a row."""

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import LazyInputs, is_litter, picture_suffixes

from .array_inputs import image_hints, is_images, resized, to_features, to_images
from .array_sources import native
from .columns import TextTable
from .duplicates import Policy, same_pixels, seen_twice
from .faults import Faults
from .file_contents import FileContents
from .image_files import ImageForm, picture_kinds

_TRIED = 20  # paths, to tell which folder they start from


@dataclass(frozen=True)
class RowInputs:
    """Where the inputs of a table's rows come from; made by :meth:`find`.

    Args:
        text: the table.
        cells: what its input column says; ``None``: ``array`` holds the inputs.
        root: folder that the column's paths start from.
        array: an entry for every row of the file.
        what: the array's file, for messages.
        form: how images are read.
        remarks: what a user should know of the paths.
        files: their contents.
    """

    text: TextTable
    cells: list[str] | None
    root: Path
    array: np.ndarray | None
    what: str
    form: ImageForm
    remarks: tuple[str, ...] = ()
    files: FileContents = field(default_factory=FileContents)

    @classmethod
    def find(
        cls, inputs: str, text: TextTable, data_root: Path, images: Path, form: ImageForm
    ) -> "RowInputs":
        """From what the option ``inputs`` says: a column, or an .npy file within ``data_root``.

        Raises:
            MtlError: if there is neither, the paths start from another folder, or the file cannot
                be read or has more or fewer entries than the table has rows.
        """
        if inputs in text.columns:
            cells, slashes = _with_slashes(text.columns[inputs], images)
            cells, remarks = _with_suffixes(cells, images)
            _check_root(cells, images, data_root)
            return cls(text, cells, images, None, "", form, (*slashes, *remarks))
        if not inputs.endswith(".npy"):
            hint = "suite.inputs names the column with the images' paths, or an .npy file"
            raise UnknownNameError("column for suite.inputs:", inputs, text.names, hint)
        file = data_root / inputs
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise MtlError(f"there is no file {file}") from None
        except (OSError, ValueError, EOFError) as error:
            raise MtlError(f"{file} is not an .npy file that can be read") from error
        ranged = form.pictures.value_range is not None
        least = max(text.positions) + 1  # rows without any cell may follow
        fits = isinstance(array, np.ndarray) and array.ndim >= 2
        if not fits or not least <= len(array) <= text.count:
            shape = getattr(array, "shape", None)
            raise MtlError(
                f"{file} should have an entry for each of the table's {text.count} rows, found "
                f"shape {shape}"
            )
        hints = image_hints(array, "auto", str(file), ranged) if is_images(array) else []
        return cls(text, None, images, array, str(file), form, tuple(hints))

    def names(self, rows: Int64[np.ndarray, " _"]) -> list[str] | None:
        """What the inputs of some rows are called; ``None`` where an array holds them."""
        if self.cells is None:
            return None
        return [posixpath.normpath(self.cells[row].replace("\\", "/")) for row in rows]

    def contents(self, rows: Int64[np.ndarray, " _"]) -> list[str] | None:
        """What the files of some rows hold, in short; ``None`` where an array holds the inputs."""
        if self.cells is None:
            return None
        return self.files.described([self.root / self.cells[row] for row in rows], self.form.check)

    def kinds(self, members: Mapping[str, Int64[np.ndarray, " _"]]) -> dict[str, Any]:
        """What the image files of some rows are; empty where an array holds them."""
        if self.cells is None:
            return {}
        rows = sorted(row for found in members.values() for row in found.tolist())
        return {"pictures": picture_kinds(self.root / self.cells[row] for row in rows)}

    def once(
        self, chosen: Mapping[str, Int64[np.ndarray, " _"]], policy: Policy, faults: Faults
    ) -> tuple[dict[str, Int64[np.ndarray, " _"]], list[str]]:
        """Rows by split without pictures that are refused because two splits have them.

        Also lines that tell of others; see :func:`seen_twice`.
        """
        if self.cells is None:
            return dict(chosen), []
        cells = self.cells
        files = {split: [self.root / cells[row] for row in rows] for split, rows in chosen.items()}
        names = {
            split: [f"{self.text.places[row]}: {cells[row]}" for row in rows]
            for split, rows in chosen.items()
        }
        keep, lines = seen_twice(files, names, policy, faults, self.files)
        return {split: rows[keep[split]] for split, rows in chosen.items()}, lines

    def same_pixels(
        self, members: Mapping[str, Int64[np.ndarray, " _"]], policy: Policy
    ) -> list[str]:
        """Lines that tell of pictures that two splits have in files of other bytes."""
        if self.cells is None:
            return []
        files = {s: [self.root / self.cells[row] for row in rows] for s, rows in members.items()}
        names = {
            s: [f"{self.text.places[row]}: {self.cells[row]}" for row in rows]
            for s, rows in members.items()
        }
        return same_pixels(files, names, policy, self.files)

    def read(
        self, split: str, rows: Int64[np.ndarray, " _"], faults: Faults
    ) -> tuple[Tensor | LazyInputs | None, Int64[np.ndarray, " _"]]:
        """Inputs of some rows of a split, and those of the rows that can be read.

        Args:
            split: whose transforms are applied.
            rows: of the table.
            faults: gets what cannot be read.
        """
        if self.cells is None:
            return self._from_array(split, rows, faults)
        named = []
        for row in rows:
            if self.cells[row]:
                named.append(row)
            else:
                faults.add(self.text.places[row], "names no input")
        paths = [self.root / self.cells[row] for row in named]
        names = [f"{self.text.lines[row]}: {self.cells[row]}" for row in named]
        found, good = self.form.read(split, paths, names, faults, self.files)
        return found, np.array(named, np.int64)[good]

    def _from_array(
        self, split: str, rows: Int64[np.ndarray, " _"], faults: Faults
    ) -> tuple[Tensor | None, Int64[np.ndarray, " _"]]:
        assert self.array is not None
        found = native(np.array(self.array[[self.text.positions[row] for row in rows]]))
        if found.dtype.kind == "f":
            finite = np.isfinite(found.reshape(len(found), -1)).all(1)
            for row in rows[~finite]:
                faults.add(self.text.places[row], f"its input in {self.what} is not finite")
            found, rows = found[finite], rows[finite]
        if not len(rows):
            return None, rows
        ranged = self.form.pictures.value_range is not None
        if found.ndim == 2 or not (ranged or found.dtype.kind != "f" or is_images(found)):
            return to_features(found, self.what), rows
        images = to_images(found, "auto", self.what, self.form.pictures.value_range)
        if self.form.size is not None:
            images = resized(images, self.form.size)
        steps = self.form.transforms.of(split)
        if images.dtype == torch.uint8:
            return torch.stack([steps.fixed(image) for image in images]), rows
        if len(steps):
            raise MtlError(
                f"suite.transforms change images of bytes, and {self.what} holds floats: "
                "suite.value_range=[LOW, HIGH] scales them so"
            )
        return images, rows


def _with_slashes(cells: Sequence[str], root: Path) -> tuple[list[str], tuple[str, ...]]:
    """Paths as Windows writes them as this system does, where no file is called so; and a line."""
    written = [n for n, cell in enumerate(cells) if "\\" in cell and not (root / cell).is_file()]
    found = list(cells)
    for n in written:
        found[n] = cells[n].replace("\\", "/")
    if not written:
        return found, ()
    return found, (f"paths such as {cells[written[0]]!r} are read with slashes: {len(written)}",)


def _with_suffixes(cells: Sequence[str], root: Path) -> tuple[list[str], tuple[str, ...]]:
    """Paths with the suffix of the only picture of that name, where they have none; and a line."""
    wanted = {cell for cell in cells if cell and not _has_suffix(cell)}
    wanted = {cell for cell in wanted if not (root / cell).is_file()}
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


def _check_root(cells: Sequence[str], root: Path, data_root: Path) -> None:
    """Name the folder that the paths seem to start from, where it is another one."""
    some = [cell for cell in cells if cell][:_TRIED]
    if not root.is_dir() or any((root / cell).exists() for cell in some):
        return
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        resolved, _ = _with_suffixes(some, folder)
        if all((folder / cell).is_file() for cell in resolved):
            try:
                where = folder.relative_to(data_root).as_posix()
            except ValueError:
                where = folder.as_posix()
            raise MtlError(
                f"{root} has no picture of the table, e.g. {some[0]!r}, but {folder} has: set "
                f"suite.images_root={where}"
            )
