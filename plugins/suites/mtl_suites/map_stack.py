"""The maps of a task and split as one array: in memory, or on disk where they are large."""

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

IGNORED = 255  # in targets, whatever files have
MOST_IN_MEMORY = 512 * 2**20  # bytes of the maps of one task and split
_WHITE = 254  # 255 of a binary map, until it is known whether it is a label


class MapStack:
    """Maps that are put in row by row, in the form of targets.

    More than :data:`MOST_IN_MEMORY` bytes lie in a file without a name in the folder for temporary
    files, which the system reads when they are needed and removes when the process ends.

    Attributes:
        labelled: (rows,), whether a row has a map.
        seen: whole numbers that occur, -1 aside, which stands for no label.

    Args:
        rows: number of examples.
        kind: of the maps.
        unknown: what floats have at pixels without a label; whole numbers have 255.
    """

    def __init__(self, rows: int, kind: MapKind, unknown: float) -> None:
        self.labelled = torch.zeros(rows, dtype=torch.bool)
        self.seen: set[int] = set()
        self._kind = kind
        self._whole = kind in ("segmentation", "binary")
        self._unknown = IGNORED if self._whole else unknown
        self._targets: NDArray[Any] | None = None

    def put(self, row: int, array: NDArray[Any]) -> None:
        """Put in the map of a row."""
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
        """Say what 255 in a binary map stands for: 1, or no label (255)."""
        for row in self._rows(self.labelled):
            row[row == _WHITE] = label

    def targets(self) -> Tensor:
        """All maps (rows, ...); rows without one are unknown.

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
    """An array to be filled, in memory or in a file.

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
