"""A colour profile is made of a white point, primaries and a gamma (ICC.1:2001-04, matrix/TRC)."""

import functools
import struct

import numpy as np
from numpy.typing import NDArray

from .colour_tags import Colours

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_STEPS = 4096  # entries of the table of a curve


@functools.lru_cache(maxsize=64)
def profile_of(colours: Colours) -> bytes:
    """Return an ICC profile of colours, which Pillow converts to sRGB as those in files."""
    columns = _to_d50(colours)
    curve = _curve(colours.gamma)
    tags = {
        b"wtpt": _point(_D50),
        **{name: _point(columns[:, n]) for n, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    size = start + len(body)
    header = struct.pack(">I4s4s4s4s4s", size, b"", b"\2\x40\0\0", b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *_fixed(_D50))
    return header.ljust(128, b"\0") + table + body


def _to_d50(colours: Colours) -> NDArray[np.float64]:
    """Return X, Y and Z of red, green and blue as columns, as seen where white is D50."""
    x, y = (np.array(colours.primaries[start::2]) for start in (0, 1))
    unscaled = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    wx, wy = colours.white
    white = np.array([wx / wy, 1.0, (1 - wx - wy) / wy])
    columns = unscaled * np.linalg.solve(unscaled, white)
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.solve(_BRADFORD, gains[:, None] * _BRADFORD) @ columns
    return adapted


def _curve(gamma: float | None) -> bytes:
    levels = np.linspace(0, 1, _STEPS)
    if gamma is None:
        light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    else:
        light = levels**gamma
    table: bytes = np.rint(light * 65535).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", _STEPS) + table


def _point(xyz: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *_fixed(xyz))


def _fixed(numbers: NDArray[np.float64]) -> list[int]:
    return [round(float(number) * 65536) for number in numbers]
