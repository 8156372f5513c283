"""The inputs of a table's rows are images in files, or one array with an entry for every row."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import LazyInputs, image_hints, is_images, to_features, to_images

from .array_sizes import resized
from .array_sources import native
from .column_tasks import Label
from .columns import TextTable
from .duplicates import Policy, same_pixels, seen_twice
from .faults import Faults
from .file_contents import FileContents
from .image_files import ImageForm, picture_kinds
from .row_paths import check_root, resolved
from .two_labels import two_labels


@dataclass(frozen=True)
class RowInputs:
    """This class knows where the inputs of a table's rows are; :meth:`find` makes it.

    Args:
        text: the table.
        cells: path of every row's input; ``None`` if ``array`` holds the inputs.
        root: folder that the paths start from.
        array: an array with an entry for every row of the file; ``None`` if inputs are files.
        what: what the array is called in messages.
        form: how images are read.
        remarks: lines that tell a user how the paths or the array are read.
        files: digests of the inputs' files.
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
        """Find the inputs by the option ``inputs``, a column or an .npy file in ``data_root``.

        Args:
            inputs: name of the column, or path of the file.
            text: the table.
            data_root: folder that the path of an .npy file starts from.
            images: folder that the paths in a column start from.
            form: how images are read.

        Raises:
            MtlError: if there is no such column or file, if the paths start from another folder, or
                if the file cannot be read or has more or fewer entries than the table has rows.
        """
        if inputs in text.columns:
            cells, remarks = resolved(text.columns[inputs], images)
            check_root(cells, images, data_root)
            return cls(text, cells, images, None, "", form, remarks)
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
        """Return the paths of the inputs of some rows, or ``None`` if an array holds them."""
        if self.cells is None:
            return None
        return [posixpath.normpath(self.cells[row].replace("\\", "/")) for row in rows]

    def contents(self, rows: Int64[np.ndarray, " _"]) -> list[str] | None:
        """Return texts that change with the files of some rows, or ``None`` for an array."""
        if self.cells is None:
            return None
        return self.files.described([self.root / self.cells[row] for row in rows], self.form.check)

    def kinds(self, members: Mapping[str, Int64[np.ndarray, " _"]]) -> dict[str, Any]:
        """Describe the image files of some rows for a record; empty if an array holds them."""
        if self.cells is None:
            return {}
        rows = sorted(row for found in members.values() for row in found.tolist())
        return {"pictures": picture_kinds(self.root / self.cells[row] for row in rows)}

    def once(
        self, chosen: Mapping[str, Int64[np.ndarray, " _"]], policy: Policy, faults: Faults
    ) -> tuple[dict[str, Int64[np.ndarray, " _"]], list[str]]:
        """Return the rows of every split without pictures that are refused because two have them.

        Args:
            chosen: rows of every split.
            policy: what happens to pictures that are in two splits.
            faults: the collection that gets the pictures that are refused.

        Returns:
            the rows, and lines on pictures that are not refused, see :func:`seen_twice`.
        """
        if self.cells is None:
            return dict(chosen), []
        keep, lines = seen_twice(*self._told(chosen), policy, faults, self.files)
        return {split: rows[keep[split]] for split, rows in chosen.items()}, lines

    def once_in_pixels(
        self, members: Mapping[str, Int64[np.ndarray, " _"]], policy: Policy, faults: Faults
    ) -> tuple[dict[str, Int64[np.ndarray, " _"]], list[str]]:
        """Do what :meth:`once` does, for pictures in files of different bytes that were read."""
        if self.cells is None:
            return dict(members), []
        keep, lines = same_pixels(*self._told(members), policy, faults, self.files)
        return {split: rows[keep[split]] for split, rows in members.items()}, lines

    def _told(
        self, members: Mapping[str, Int64[np.ndarray, " _"]]
    ) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
        """Return the files of rows, and what they are called in messages, by split."""
        assert self.cells is not None
        cells, places = self.cells, self.text.places
        files = {split: [self.root / cells[row] for row in rows] for split, rows in members.items()}
        names = {
            split: [f"{places[row]}: {cells[row]}" for row in rows]
            for split, rows in members.items()
        }
        return files, names

    def two_labels(
        self, labels: Sequence[Label], members: Mapping[str, Int64[np.ndarray, " _"]]
    ) -> list[str]:
        """Return lines on pictures that have two labels of a task."""
        if self.cells is None:
            return []
        rows = np.concatenate(list(members.values()))
        lines = []
        for label in labels:
            known = rows[label.present[rows]]
            files, names = self._told({"": known})
            lines += two_labels(label.name, files[""], names[""], label.values[known], self.files)
        return lines

    def read(
        self, split: str, rows: Int64[np.ndarray, " _"], faults: Faults
    ) -> tuple[Tensor | LazyInputs | None, Int64[np.ndarray, " _"]]:
        """Read the inputs of some rows of a split.

        Args:
            split: name of the split, whose transforms are applied.
            rows: rows of the table.
            faults: the collection that gets inputs which cannot be read.

        Returns:
            the inputs that can be read, ``None`` if there are none, and their rows.
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
