"""Arrays are read from ``.npz`` files of numpy and ``.mat`` files of MATLAB up to version 7.2.

One file may hold all splits, or a folder one file for each. Every array is read when it is asked
for, and nothing in a file is executed.
"""

import warnings
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from zipfile import BadZipFile, ZipFile

import numpy as np
import scipy.io

from mtl_framework import MtlError, message_of

from .array_names import split_of
from .faults import listed, no_file
from .foreign import foreign

_SUFFIXES = (".npz", ".mat")
_SAVE = "numpy.savez('data.npz', images=..., labels=...)"


@runtime_checkable
class Source(Protocol):
    """A source gives arrays by name.

    Attributes:
        names: names of all arrays.
        remarks: lines that tell a user how the files are read.
        first_row: number by which programs that write such files call the first row: 0, or 1 in
            MATLAB.
    """

    names: list[str]
    remarks: list[str]
    first_row: int

    def get(self, name: str) -> np.ndarray:
        """Return one array; any exception's text says why it cannot be read."""

    def close(self) -> None:
        """Close the files."""


def native(array: np.ndarray) -> np.ndarray:
    """Return an array in this machine's order of bytes, which is the only one that torch takes."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def open_source(path: Path) -> Source:
    """Open a file of arrays, or a folder that has one file for each split.

    Raises:
        MtlError: if the file cannot be read; the message says what it is instead, and what to do.
    """
    if path.is_dir():
        return _Folder(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        raise MtlError(no_file(path)) from None
    except OSError as error:
        raise MtlError(f"cannot read {path}: {error}") from error
    if start.startswith(b"MATLAB 5.0"):
        return _Mat(path)
    return _Npz(path, start)


class _Npz:
    first_row = 0

    def __init__(self, path: Path, start: bytes) -> None:
        other = foreign(start, path)
        instead = f", but {other.what}: {other.as_arrays}" if other else ""
        if path.suffix.lower() in (".csv", ".tsv", ".txt"):
            instead = ", but text: the suite 'table' reads tables"
        try:
            archive = np.load(path, allow_pickle=False)
        except ValueError as error:  # what numpy takes for a pickle, and would execute
            raise MtlError(f"{path} is not an .npz file{instead}") from error
        except (OSError, EOFError, BadZipFile) as error:
            if instead:
                raise MtlError(f"{path} is not an .npz file{instead}") from error
            raise MtlError(f"cannot read {path} as an .npz file: {error}") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise MtlError(
                f"{path} should be an .npz file with several arrays, found a single one: save "
                f"inputs and labels together, {_SAVE}"
            )
        if archive.files and archive.zip is not None and not _has_arrays(archive.zip):
            archive.close()
            raise MtlError(f"{path} is an archive of other files: unpack it, and name the folder")
        self._archive = archive
        self.names: list[str] = list(archive.files)
        self.remarks: list[str] = []

    def get(self, name: str) -> np.ndarray:
        array: np.ndarray = self._archive[name]
        return array

    def close(self) -> None:
        self._archive.close()


def _has_arrays(archive: ZipFile) -> bool:
    return any(name.endswith(".npy") for name in archive.namelist())


class _Mat:
    """This source reads a file of MATLAB, where examples often lie along the last axis.

    Vectors there have two axes, (1, N) or (N, 1). An array with as many entries along its last axis
    as some vector has, but not along its first, is turned: images (32, 32, 3, N) with labels (N, 1)
    become (N, 32, 32, 3) and (N).
    """

    first_row = 1

    def __init__(self, path: Path) -> None:
        self._path = path
        self.remarks: list[str] = []
        try:
            shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        except Exception as error:  # whatever a damaged file makes the parser raise
            reason = message_of(error)
            raise MtlError(f"{path} cannot be read as a file of MATLAB: {reason}") from error
        self.names = list(shapes)
        vectors = [max(shape) for shape in shapes.values() if len(shape) == 2 and 1 in shape]
        self._lengths = {length for length in vectors if length > 1}
        turned = [name for name, shape in shapes.items() if self._examples_last(shape)]
        if turned:
            self.remarks.append(f"{path}: examples lie along the last axis of {listed(turned)}")

    def _examples_last(self, shape: tuple[int, ...]) -> bool:
        several = len(shape) > 2 or (len(shape) == 2 and 1 not in shape)
        return several and shape[-1] in self._lengths and shape[0] not in self._lengths

    def get(self, name: str) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about duplicate names and entries that are no arrays
            array: Any = scipy.io.loadmat(self._path, variable_names=[name])[name]
        if not isinstance(array, np.ndarray):
            raise MtlError(f"is a {type(array).__name__}, and no array")
        if array.dtype.kind == "V":
            raise MtlError("is a structure, and no array")
        if array.dtype.kind == "O":  # a cell array, of texts where it can be used
            array = np.array([_text(cell) for cell in array.ravel()]).reshape(array.shape)
        if array.ndim == 2 and 1 in array.shape:
            array = array.reshape(-1)
        elif self._examples_last(array.shape):
            array = np.moveaxis(array, -1, 0)
        return np.asarray(array)

    def close(self) -> None:
        pass


def _text(cell: object) -> str:
    if isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size <= 1:
        return str(cell.reshape(-1)[0]) if cell.size else ""
    raise MtlError("is a cell array of other things than texts")


class _Folder:
    """This source reads a folder in which the name of every file says the split.

    The array ``NAME`` of the file of split ``SPLIT`` is called ``SPLIT_NAME``.
    """

    first_row = 0

    def __init__(self, path: Path) -> None:
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
        by_split: dict[str, Path] = {}
        others = []
        for file in files:
            split = split_of(file.stem)
            if split is None:
                others.append(file.name)
            elif split in by_split:
                raise MtlError(
                    f"{path}: {by_split[split].name} and {file.name} are both the {split} split; "
                    "name the one that is meant with suite.path, or move the other"
                )
            else:
                by_split[split] = file
        if "train" not in by_split:
            raise MtlError(
                f"{path} is a folder without an .npz or .mat file of a train split; the suite "
                "'folders' reads images, and suite.path may name a single file"
            )
        self._sources = {split: open_source(file) for split, file in by_split.items()}
        self.names = [f"{s}_{name}" for s, source in self._sources.items() for name in source.names]
        self.remarks = [
            f"{path}: a file a split: {listed([file.name for file in by_split.values()])}",
            *(line for source in self._sources.values() for line in source.remarks),
        ]
        if others:
            self.remarks.append(
                f"{path}: files whose names say no split: {listed(others)}: left out"
            )

    def get(self, name: str) -> np.ndarray:
        split, _, rest = name.partition("_")
        return self._sources[split].get(rest)

    def close(self) -> None:
        for source in self._sources.values():
            source.close()
