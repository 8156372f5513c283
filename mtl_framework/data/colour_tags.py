"""Image files without a colour profile may say in other ways which colours their numbers mean.

PNG files have the chunks cICP, sRGB, cHRM and gAMA (W3C, Portable Network Graphics, third edition,
2025); TIFF files and EXIF have tags of white point, primaries and colour space (CIPA DC-008), by
which cameras mark Adobe RGB (DCF 2.0).
"""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image

from ..support.errors import MtlError

#: x and y of red, green and blue.
Primaries = tuple[float, float, float, float, float, float]
_D65 = (0.3127, 0.3290)
_SRGB: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_ADOBE: Primaries = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_ADOBE_GAMMA = 563 / 256
_SAME = 0.005  # difference of chromaticities that is a rounding

# Of ITU-T H.273: white and primaries by code, and exponents of transfer functions; None stands for
# that of sRGB, which those of BT.709 and BT.2020 are shown with.
_POINTS: dict[int, tuple[tuple[float, float], Primaries]] = {
    1: (_D65, _SRGB),
    5: (_D65, (0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: (_D65, (0.63, 0.34, 0.31, 0.595, 0.155, 0.07)),
    7: (_D65, (0.63, 0.34, 0.31, 0.595, 0.155, 0.07)),
    9: (_D65, (0.708, 0.292, 0.17, 0.797, 0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
    12: (_D65, (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
}
_TRANSFERS = {1: None, 4: 2.2, 5: 2.8, 6: None, 8: 1.0, 13: None, 14: None, 15: None}

_EXIF, _INTEROPERABILITY, _COLOUR_SPACE, _GAMMA, _INDEX = 0x8769, 0xA005, 0xA001, 0xA500, 1
_WHITE_POINT, _PRIMARIES, _IS_SRGB, _UNCALIBRATED = 318, 319, 1, 0xFFFF
_CODE_POINTS = "cicp"


@dataclass(frozen=True)
class Colours:
    """The colours that the numbers of an RGB image mean.

    Args:
        white: x and y of white.
        primaries: x and y of red, green and blue.
        gamma: exponent that turns numbers in [0, 1] into light; ``None``: the curve of sRGB.
    """

    white: tuple[float, float]
    primaries: Primaries
    gamma: float | None = None

    @property
    def are_srgb(self) -> bool:
        """Say whether white and primaries are those of sRGB."""
        pairs = zip((*self.white, *self.primaries), (*_D65, *_SRGB), strict=True)
        return all(abs(a - b) <= _SAME for a, b in pairs)


def note_code_points(image: Image.Image, file: IO[bytes]) -> None:
    """Keep the chunk cICP of a PNG file, which Pillow skips, with the other facts of an image.

    Args:
        image: the image, of which only the header has been read.
        file: the file, whose position stays as it is.
    """
    if image.format != "PNG":
        return
    before = file.tell()
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"cICP":
            image.info[_CODE_POINTS] = file.read(4)
            break
        file.seek(length + 4, 1)
    file.seek(before)


def said_colours(opened: Image.Image, grey: bool) -> Colours | None:
    """Return what an image without a profile says of its colours, ``None`` if that is sRGB or none.

    Args:
        opened: the image as it was opened, with the facts of its file.
        grey: whether the image is grey, so that primaries have no meaning, and a gamma of its own
            is left to :func:`decoded_gamma`.

    Raises:
        MtlError: if it says what images of 8 bits in sRGB cannot hold, such as high dynamic range.
    """
    points = opened.info.get(_CODE_POINTS)
    if isinstance(points, bytes) and len(points) == 4:
        colours = _of_code_points(*points)
        return None if grey and colours and colours.gamma is None else colours
    if "srgb" in opened.info or grey:
        return None
    found = opened.info.get("chromaticity")
    gamma = opened.info.get("gamma")
    if isinstance(found, tuple) and len(found) == 8:
        exponent = 1 / gamma if isinstance(gamma, float) and gamma > 0 else None
        return _unless_srgb(found[:2], found[2:], exponent)
    return _of_exif(opened)


def unconverted_colours(opened: Image.Image) -> str:
    """Return what says that an image's colours are not sRGB and is not enough to convert them.

    Pictures that say so are read as if they were sRGB.

    Args:
        opened: an opened file, of which the pixels need not be read.

    Returns:
        an empty text if nothing says so.
    """
    if opened.info.get("icc_profile") or opened.info.get(_CODE_POINTS) or "srgb" in opened.info:
        return ""
    uncalibrated = _tags(opened, _EXIF).get(_COLOUR_SPACE) == _UNCALIBRATED
    return "EXIF: uncalibrated" if uncalibrated and _of_exif(opened) is None else ""


def unconverted_in(files: Iterable[Path]) -> Counter[str]:
    """Count image files by what :func:`unconverted_colours` returns, where it is not empty."""
    counts: Counter[str] = Counter()
    for file in files:
        if file.suffix == ".npy":
            continue
        try:
            with Image.open(file) as image:
                counts[unconverted_colours(image)] += 1
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # told where it is read
    del counts[""]
    return counts


def colour_lines(counts: Mapping[str, int]) -> list[str]:
    """Return lines for a user on files whose colours are not converted.

    Args:
        counts: number of files by what :func:`unconverted_colours` returns.
    """
    return [
        f"{count} image {'file' if count == 1 else 'files'} of colours that are not sRGB ({what}), "
        "read as if they were: save them in sRGB, or with a colour profile"
        for what, count in counts.items()
    ]


def _of_code_points(primaries: int, transfer: int, matrix: int, full: int) -> Colours | None:
    known = (primaries in _POINTS or primaries == 2) and transfer in (*_TRANSFERS, 2)
    if known and matrix == 0 and full == 1:
        white, red_green_blue = _POINTS.get(primaries, (_D65, _SRGB))
        colours = Colours(white, red_green_blue, _TRANSFERS.get(transfer))
        return None if colours.are_srgb and colours.gamma is None else colours
    raise MtlError(
        f"says by its chunk cICP ({primaries}, {transfer}, {matrix}, {full}) that its colours are "
        "of high dynamic range, of narrow range, or of a kind that is not known: save it in sRGB"
    )


def _of_exif(opened: Image.Image) -> Colours | None:
    tags = _tags(opened)
    white, primaries = (_numbers(tags.get(tag)) for tag in (_WHITE_POINT, _PRIMARIES))
    exif = _tags(opened, _EXIF)
    if exif.get(_COLOUR_SPACE) == _IS_SRGB:
        return None
    gamma = _numbers((exif.get(_GAMMA),))
    if len(white) == 2 and len(primaries) == 6:
        return _unless_srgb(white, primaries, gamma[0] if gamma else None)
    by_cameras = _tags(opened, _INTEROPERABILITY).get(_INDEX) == "R03"
    if exif.get(_COLOUR_SPACE) == _UNCALIBRATED and by_cameras:
        return Colours(_D65, _ADOBE, _ADOBE_GAMMA)
    return None


def _unless_srgb(white: Any, primaries: Any, gamma: float | None) -> Colours | None:
    colours = Colours(tuple(white), tuple(primaries), gamma)
    (wx, wy), (rx, ry, gx, gy, bx, by) = colours.white, colours.primaries
    area = (gx - rx) * (by - ry) - (bx - rx) * (gy - ry)
    if min(wy, ry, gy, by) <= 0 or wx <= 0 or abs(area) < 1e-3:
        return None  # no colours: programs write zeros where they know nothing
    return None if colours.are_srgb else colours


def _tags(opened: Image.Image, part: int | None = None) -> Mapping[int, Any]:
    """Return EXIF's tags, or those of a part of them; none where a file's are damaged."""
    try:
        exif = opened.getexif()
        return exif if part is None else exif.get_ifd(part)
    except (OSError, ValueError, TypeError, KeyError, SyntaxError, struct.error):
        return {}


def _numbers(values: Any) -> tuple[float, ...]:
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError, ZeroDivisionError):
        return ()
    return found if all(0 <= value < 100 for value in found) else ()
