"""Image files may say that their colours are not those of sRGB, without a profile that tells how.

Profiles and a PNG file's gamma are converted when pictures are read. What is looked for here is
not: primaries (cHRM) and code points (cICP) of PNG files, and EXIF's colour space.
"""

import struct
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from .options import counted

#: White, red, green and blue of sRGB, as PNG's chunk cHRM has them.
_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_SAME = 0.005  # difference of chromaticities that is a rounding
_SRGB_POINTS = {(1, 13), (1, 1)}  # primaries of BT.709 with the transfer of sRGB or BT.709
_EXIF, _INTEROPERABILITY, _COLOUR_SPACE, _INDEX = 0x8769, 0xA005, 0xA001, 1
_UNCALIBRATED = 0xFFFF


def unconverted_colours(image: Image.Image, path: Path) -> str:
    """Return what says that colours are not sRGB and is not converted; empty if nothing does.

    Args:
        image: an opened file, of which the pixels need not be read.
        path: path of the file.
    """
    if image.info.get("icc_profile"):
        return ""
    if image.format == "PNG":
        points = _code_points(path)
        if points is not None:
            return "" if points in _SRGB_POINTS else "PNG's cICP"
        found = image.info.get("chromaticity")
        if found and "srgb" not in image.info:
            apart = max(abs(a - b) for a, b in zip(found, _SRGB, strict=False))
            return "PNG's cHRM" if apart > _SAME else ""
    exif = image.getexif()
    if exif.get_ifd(_EXIF).get(_COLOUR_SPACE) == _UNCALIBRATED:
        adobe = exif.get_ifd(_INTEROPERABILITY).get(_INDEX) == "R03"
        return "EXIF: Adobe RGB" if adobe else "EXIF: uncalibrated"
    return ""


def colour_lines(counts: Mapping[str, int]) -> list[str]:
    """Return a line on files whose colours are not converted, by what says so."""
    return [
        f"{counted(count, 'image file')} of colours that are not sRGB ({what}), read as if they "
        "were: save them in sRGB, or with a colour profile"
        for what, count in counts.items()
    ]


def _code_points(path: Path) -> tuple[int, int] | None:
    """Return primaries and transfer of a PNG file's chunk cICP; ``None`` if it has none."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"cICP":
                primaries, transfer = file.read(2)
                return primaries, transfer
            if kind in (b"IDAT", b"IEND"):
                return None
            file.seek(length + 4, 1)
    return None
