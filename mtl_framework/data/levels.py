"""Images of 16 bits or of floats are scaled to 8 bits a channel."""

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from ..support.errors import MtlError
from .colours import gamma_of

_SIXTEEN = 65535
# Formats whose "I" holds 16 bits in Pillow: all others may hold any 32.
_WIDE_BUT_SIXTEEN = ("PNG", "PPM")


def is_deep(mode: str) -> bool:
    """Say whether images of a Pillow mode have more than 8 bits a channel."""
    return mode in ("I", "F") or mode.startswith("I;16")


def deep_levels(
    image: Image.Image, opened: Image.Image, value_range: tuple[float, float] | None
) -> Image.Image:
    """Convert a grey image of more than 8 bits to mode L, or to LA if one level is transparent.

    Args:
        image: the image, of mode I, F, or I;16 in any order of bytes; perhaps turned already.
        opened: the image as it was opened, with the metadata of its file.
        value_range: the numbers that become black and white; ``None``: the range of the bits,
            and 0 to 1 for floats.

    Raises:
        MtlError: if a number is not finite or not within the range, or there is none.
    """
    values = _values(image)
    ends = value_range or _range(image.mode, opened, values)
    if value_range is None and _is_negative(opened):
        ends = ends[::-1]
    unit = scaled(values, ends)
    key = opened.info.get("transparency")
    gamma = gamma_of(opened)
    if gamma is not None:
        unit **= gamma
    grey = Image.fromarray(_bytes(unit))
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def scaled(
    values: Shaped[np.ndarray, "*shape"],
    ends: tuple[float, float],
    option: str = "suite.value_range",
) -> Shaped[np.ndarray, "*shape"]:
    """Scale numbers within the range ``ends`` to floats from 0 to 1, the first end to 0.

    Raises:
        MtlError: if one is not finite, or lies outside.
    """
    lowest, highest = (float(f(values)) for f in (np.min, np.max))
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise MtlError("holds numbers that are not finite")
    if lowest < min(ends) or highest > max(ends):
        raise MtlError(
            f"holds numbers from {lowest:g} to {highest:g}, and they should be from "
            f"{min(ends):g} to {max(ends):g}: say what black and white are with "
            f"{option}=[LOW, HIGH]"
        )
    unit: np.ndarray = values.astype(np.float64)  # a large picture has room for it once
    unit -= ends[0]
    unit /= ends[1] - ends[0]
    return unit


def byte_levels(
    array: Shaped[np.ndarray, "*shape"],
    value_range: tuple[float, float] | None = None,
    option: str = "suite.value_range",
) -> UInt8[np.ndarray, "*shape"]:
    """Scale an array of images to uint8: bool becomes 0 and 255, uint16 and floats by their range.

    Args:
        array: uint8, which stays as it is, bool, uint16, or floats, in any order of bytes.
        value_range: the numbers that become 0 and 255; ``None``: 0 and 65535, for floats 0 and 1.
        option: what the range is called where a user sets it, for messages.

    Raises:
        MtlError: on another dtype unless the range is given, and on numbers outside the range.
    """
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.bool_:
        return np.where(array, 255, 0).astype(np.uint8)
    if value_range is None:
        if array.dtype == np.uint8:
            return array
        if array.dtype != np.uint16 and array.dtype.kind != "f":
            raise MtlError(
                f"holds {array.dtype}, whose range is not known: say what black and white are "
                f"with {option}=[LOW, HIGH]"
            )
    sixteen = (0.0, 1.0) if array.dtype.kind == "f" else (0.0, float(_SIXTEEN))
    return _bytes(scaled(array, value_range or sixteen, option))


def _bytes(unit: Shaped[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Round numbers from 0 to 1 to the nearest bytes; the array is overwritten."""
    unit *= 255
    np.rint(unit, out=unit)
    return unit.astype(np.uint8)


def _values(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "F"):
        return np.asarray(image)
    order = {"I;16B": ">u2", "I;16N": "=u2"}.get(image.mode, "<u2")
    return np.frombuffer(image.tobytes(), order).reshape(image.height, image.width)


def _is_negative(opened: Image.Image) -> bool:
    """Say whether 0 is white in a TIFF; of up to 8 bits Pillow inverts such images itself."""
    return opened.format == "TIFF" and getattr(opened, "tag_v2", {}).get(262) == 0


def _range(mode: str, opened: Image.Image, values: np.ndarray) -> tuple[float, float]:
    if mode == "F":
        return 0.0, 1.0
    tags = getattr(opened, "tag_v2", {}) if opened.format == "TIFF" else {}
    bits, kind = (tags.get(tag, (default,)) for tag, default in ((258, 16), (339, 1)))
    bits, kind = (value[0] if isinstance(value, tuple) else value for value in (bits, kind))
    sixteen = mode != "I" or opened.format in _WIDE_BUT_SIXTEEN
    if opened.format in ("FITS", "IM", "SPIDER") or kind != 1:
        sixteen = False  # signed, or of any range
    if not sixteen:
        raise MtlError(
            f"holds whole numbers of unknown range (from {values.min()} to {values.max()}): say "
            "what black and white are with suite.value_range=[LOW, HIGH]"
        )
    return 0.0, float(2**bits - 1) if tags else float(_SIXTEEN)
