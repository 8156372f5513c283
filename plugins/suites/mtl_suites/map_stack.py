"""The maps of a task and split are one array, in memory, or on disk if they are large."""

import math
import os
import tempfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_framework import MtlError

from .dense_files import MapKind

IGNORED = 255  # what targets have at pixels without a label
MOST_IN_MEMORY = 512 * 2**20  # bytes of a task's maps in a split that are held in memory
_WHITE = 254  # stands for 255 in a binary map until it is known whether that is a label


class MapStack:
    """A stack takes maps row by row, and gives them as targets.

    More than :data:`MOST_IN_MEMORY` bytes are in a file without a name in the folder for temporary
    files, which the system reads when they are needed and removes when the process ends.

    Attributes:
        labelled: whether a row has a map (rows).
        seen: the whole numbers that occur in maps, without -1, which stands for no label.

    Args:
        rows: number of examples.
        kind: kind of the maps.
        unknown: number that maps of floats get in rows without a map; whole numbers get 255.
    """

    def __init__(self, rows: int, kind: MapKind, unknown: float) -> None:
        self.labelled = torch.zeros(rows, dtype=torch.bool)
        self.seen: set[int] = set()
        self._kind = kind
        self._whole = kind in ("segmentation", "binary")
        self._unknown = IGNORED if self._whole else unknown
        self._targets: NDArray[Any] | None = None

    def put(self, row: int, array: NDArray[Any]) -> None:
        """Take the map of a row."""
        if self._whole:
            self.seen |= set(np.unique(array).astype(int).tolist()) - {-1}
            if self._kind == "binary":
                array = np.where(array == IGNORED, _WHITE, array)
            array = np.where(array < 0, IGNORED, array).astype(np.uint8)
        elif self._kind == "numbers":
            array = array[None]
        if self._targets is None:
            self._targets = _empty((len(self.labelled), *array.shape), array.dtype)
        self._targets[row] = array
        self.labelled[row] = True

    def set_white(self, label: int) -> None:
        """Replace 255 in binary maps by the label that it stands for: 1, or 255 for no label."""
        for row in self._rows(self.labelled):
            row[row == _WHITE] = label

    def targets(self) -> Tensor:
        """Return all maps (rows, ...); rows without a map have the unknown number everywhere.

        Raises:
            MtlError: if no row has a map.
        """
        if self._targets is None:
            raise MtlError("there is no map")
        for row in self._rows(~self.labelled):
            row[...] = self._unknown
        return torch.from_numpy(self._targets)

    def _rows(self, which: Tensor) -> list[NDArray[Any]]:
        targets = self._targets
        return [] if targets is None else [targets[row] for row in which.nonzero().flatten()]


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array to be filled, in memory or in a temporary file.

    Raises:
        MtlError: if the folder for temporary files has no room for it.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= MOST_IN_MEMORY:
        return np.empty(shape, dtype)
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(prefix="mtl-maps-", dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process later
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as error:
        raise MtlError(
            f"{folder} has no room for {size / 2**30:.1f} GiB of maps ({error.strerror}): set "
            "TMPDIR to a folder that has, or suite.size to make maps smaller"
        ) from error
