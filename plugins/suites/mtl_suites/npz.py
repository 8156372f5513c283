"""Arrays of an ``.npz`` file, found by what they are for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from mtl_framework import MtlError
from mtl_framework.data import SPLITS, byte_levels

#: Where an array called NAME is looked for; ``{split}`` stands for train, validation and test.
PATTERNS = (
    "{task}_{name}",
    "{split}_{task}_{name}",
    "{task}_{split}_{name}",
    "{split}_{name}",
    "{name}",
)

_PACKED = "_packed"
_CHANNELS = (1, 3, 4)
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Found:
    """Arrays of one name: by split, or under ``None`` one without a split in its name.

    ``what`` names file and arrays, for messages; ``of_task``: they belong to one task alone.
    """

    what: str
    arrays: dict[str | None, np.ndarray]
    of_task: bool = False

    def at(self, position: int) -> "Found":
        """What lies at a position along axis 0 of every array."""
        parts = {split: array[position] for split, array in self.arrays.items()}
        return Found(f"{self.what} [{position}]", parts)


class ArrayFile:
    """An ``.npz`` file; every array is read when it is asked for, and nothing is executed.

    Args:
        path: of the file.

    Raises:
        MtlError: if it cannot be read or is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            archive = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise MtlError(f"there is no file {path}") from None
        except ValueError as error:  # what numpy takes for a pickle, and would execute
            raise MtlError(f"{path} is not an .npz file") from error
        except (OSError, EOFError, BadZipFile) as error:
            raise MtlError(f"cannot read {path} as an .npz file: {error}") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise MtlError(f"{path} should be an .npz file with several arrays, found a single one")
        self._archive = archive
        self.names: list[str] = list(archive.files)

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._archive.close()

    def read(self, name: str) -> np.ndarray:
        """The array of that name; ``NAME_packed`` holds bits and is unpacked to 0 and 255.

        Raises:
            MtlError: if there is none, or it is damaged or would execute code.
        """
        if name not in self.names:
            raise MtlError(f"{self.path} has no array {name}; there are {', '.join(self.names)}")
        try:
            array: np.ndarray = self._archive[name]
        except (OSError, ValueError, EOFError, BadZipFile, ZlibError) as error:
            raise MtlError(f"{self.path}: array {name!r} cannot be read: {error}") from error
        if name.endswith(_PACKED) and array.dtype == np.uint8 and array.ndim == 2:
            shape = tuple(int(n) for n in self.read("image_shape"))
            if 8 * array.shape[1] < int(np.prod(shape)):
                raise MtlError(
                    f"{self.path}: {name!r} has {8 * array.shape[1]} bits a row, too few for "
                    f"image_shape {shape}"
                )
            bits = np.unpackbits(array, axis=1, count=int(np.prod(shape)))
            return (bits * np.uint8(255)).reshape(-1, *shape)
        return array

    def find(self, names: Sequence[str], task: str | None = None) -> "Found":
        """The arrays of the first of several names that there is.

        Args:
            names: e.g. ``images``, to be found as :data:`PATTERNS` says; or a pattern with
                ``{task}`` or ``{split}`` in it, e.g. ``noisy_{split}_Y``.
            task: also look for arrays of this task alone.

        Raises:
            MtlError: if there is none, listing what there is.
        """
        found = self.find_any(names, task)
        if found is None:
            of = f" of task {task!r}" if task is not None else ""
            raise MtlError(
                f"{self.path} has no array {' or '.join(names)}{of}; there are "
                f"{', '.join(self.names)}"
            )
        return found

    def find_any(self, names: Sequence[str], task: str | None = None) -> "Found | None":
        """Like :meth:`find`, but ``None`` where there is none."""
        for name in names:
            for pattern in (name,) if "{" in name else PATTERNS:
                if "{task}" in pattern and task is None:
                    continue
                text = pattern.replace("{name}", name).replace("{task}", task or "")
                splits = SPLITS if "{split}" in text else (None,)
                keys = {split: text.replace("{split}", split or "") for split in splits}
                present = {split: key for split, key in keys.items() if key in self.names}
                if present:
                    arrays = {split: self.read(key) for split, key in present.items()}
                    what = f"{self.path}: {', '.join(present.values())}"
                    return Found(what, arrays, "{task}" in pattern)
        return None

    def texts(self, name: str) -> list[str]:
        """An array of texts, e.g. names of classes; empty where there is none of that name."""
        return [str(text) for text in self.read(name)] if name in self.names else []

    def owners(self, names: Sequence[str]) -> list[str]:
        """Every TASK for which there is an array ``TASK_NAME``, in the file's order."""
        found = (
            key.removesuffix(f"_{name}")
            for key in self.names
            for name in names
            if key.endswith(f"_{name}")
        )
        return [task for task in dict.fromkeys(found) if task and task not in SPLITS]


def to_images(array: np.ndarray, channels: str, what: str) -> Tensor:
    """Images (N, C, H, W), uint8 or float32.

    Args:
        array: (N, H, W), (N, H, W, C) or (N, C, H, W); uint8, uint16 (scaled to 0 to 255),
            bool (0 and 255 then) or floats, which stay as they are.
        channels: ``first``, ``last``, or ``auto``: where 1, 3 or 4 of them are, preferably last.
        what: name of the array, for messages.

    Raises:
        MtlError: naming the array, on another dtype or shape.
    """
    if array.dtype not in (np.bool_, np.uint8, np.uint16) and array.dtype.kind != "f":
        raise MtlError(
            f"{what} should be uint8, uint16, bool or floats, found {array.dtype}: convert images "
            "of other whole numbers to one of these"
        )
    if array.dtype.kind != "f":
        array = byte_levels(array)
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim != 4:
        raise MtlError(
            f"{what} should have shape (N, H, W), (N, H, W, C) or (N, C, H, W), found {array.shape}"
        )
    else:
        last = array.shape[3] in _CHANNELS
        if channels == "auto" and not last and array.shape[1] not in _CHANNELS:
            raise MtlError(
                f"{what} of shape {array.shape} has neither 1, 3 nor 4 channels; say where they "
                "are with suite.channels=first or last"
            )
        if channels == "last" or (channels == "auto" and last):
            array = array.transpose(0, 3, 1, 2)
    found = torch.from_numpy(np.ascontiguousarray(array))
    return found if found.dtype == torch.uint8 else found.float()


def to_features(array: np.ndarray, what: str) -> Tensor:
    """Feature vectors: floats and bytes as float32, other whole numbers (tokens) as int64.

    Raises:
        MtlError: naming the array, on another dtype or without a dimension beside the examples.
    """
    if array.dtype.kind not in "fiub":
        raise MtlError(f"{what} should be numbers, found {array.dtype}")
    if array.ndim < 2:
        raise MtlError(f"{what} should have shape (N, ...), found {array.shape}")
    found = torch.from_numpy(np.ascontiguousarray(array))
    whole = array.dtype.kind in "iu" and array.dtype != np.uint8
    return found.long() if whole else found.float()


def resized(images: Tensor, size: int) -> Tensor:
    """Images ``size`` pixels wide and high, with antialiasing.

    Raises:
        MtlError: if ``size`` is not from 1 to 1024.
    """
    if not 1 <= size <= 1024:
        raise MtlError(f"size should be from 1 to 1024, found {size}")
    if images.shape[2:] == (size, size):
        return images
    return in_parts(images, lambda part: transforms.resize(part, [size, size], antialias=True))


def in_parts(rows: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """``function`` of all rows, some at a time, so that its intermediate results stay small."""
    return torch.cat([function(part) for part in torch.split(rows, _ROWS_AT_ONCE)])
