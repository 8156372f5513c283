"""Textures say where a surface has which of its two colours.

Every texture is a function of points (n, 3, pixels) in the surface's own coordinates and of
frequencies (n, 1), and returns where the second colour is (n, pixels).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pattern = Callable[[Floats, Floats], NDArray[np.bool_]]


def plain(point: Floats, frequency: Floats) -> NDArray[np.bool_]:
    """Return a surface of one colour."""
    return np.zeros((len(point), point.shape[2]), bool)


def stripes(point: Floats, frequency: Floats) -> NDArray[np.bool_]:
    """Return slanted stripes."""
    along = point[:, 0] + 0.5 * point[:, 1] + 0.3 * point[:, 2]
    return np.asarray(np.floor(along * frequency) % 2 == 1, bool)


def checks(point: Floats, frequency: Floats) -> NDArray[np.bool_]:
    """Return cubes of alternating colours."""
    return np.asarray(np.floor((point + 0.013) * frequency[:, None]).sum(1) % 2 == 1, bool)


def rings(point: Floats, frequency: Floats) -> NDArray[np.bool_]:
    """Return rings around the upright axis."""
    away = np.hypot(point[:, 0], point[:, 2])
    return np.asarray(np.floor(away * frequency + point[:, 1]) % 2 == 1, bool)


def dots(point: Floats, frequency: Floats) -> NDArray[np.bool_]:
    """Return balls of the second colour in the first."""
    cell = (point + 0.013) * frequency[:, None] % 1 - 0.5
    return np.asarray((cell**2).sum(1) < 0.16, bool)


def waves(point: Floats, frequency: Floats) -> NDArray[np.bool_]:
    """Return stripes that swing."""
    swing = 0.4 * np.sin(4 * point[:, 0] * frequency[:, :1])
    return np.asarray(np.floor((point[:, 1] + point[:, 2]) * frequency + swing) % 2 == 1, bool)


#: Textures of the surfaces in each split, of which only the plain one is in all splits.
OF_SPLIT: dict[str, tuple[Pattern, ...]] = {
    "train": (plain, stripes, checks),
    "validation": (plain, rings),
    "test": (plain, dots, waves),
}
