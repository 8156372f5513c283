"""Maps are read from arrays and pictures as the numbers that these files hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtl_framework import MtlError, message_of
from mtl_framework.data import check_picture_size

#: What a task's maps are.
MapKind = Literal["segmentation", "depth", "normals", "binary", "numbers"]

SUFFIXES = (".exr", ".npy", ".png", ".tif", ".tiff")
_UNIT = 0.5  # shortest vector in a picture of bytes that can be a direction


def read_map(path: Path) -> NDArray[Any]:
    """Read the array in a file: (H, W), or three axes in the order in which the file has them.

    PNG of 8 and 16 bits keep their numbers; a picture with a palette gives the numbers of palette
    entries, not colours. TIFF may hold floats. EXR needs the extra ``exr`` and has the channels R,
    G and B, or a single one.

    Raises:
        MtlError: if the file cannot be read, holds no map, or has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``; the message names it.
    """
    try:
        array = _read(path)
    except MtlError as error:
        raise MtlError(f"{path} {error}") from error
    except (OSError, ValueError, EOFError, SyntaxError, RuntimeError, MemoryError) as error:
        reason = message_of(error)
        raise MtlError(f"{path} cannot be read as a map: {reason}") from error
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
        raise MtlError(f"{path} should hold a map (H, W) or (H, W, C), found {array.shape} of "
                       f"{array.dtype}")  # fmt: skip
    return array


def _read(path: Path) -> NDArray[Any]:
    if path.suffix.lower() == ".npy":
        header: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if header.ndim >= 2:
            smaller = min(header.shape) if header.ndim == 3 else 1  # channels
            check_picture_size(header.size // max(smaller, 1), 1)
        return np.array(header)
    if path.suffix.lower() == ".exr":
        return _read_exr(path)
    with Image.open(path) as picture:
        check_picture_size(picture.width, picture.height)
        return np.asarray(picture)


def _read_exr(path: Path) -> NDArray[Any]:
    try:
        import OpenEXR
    except ImportError:
        raise MtlError(
            "is an EXR file, which needs OpenEXR: pip install 'mtl-framework[exr]', or save it as "
            ".npy or .tiff"
        ) from None
    with OpenEXR.File(str(path), header_only=True) as header:
        low, high = header.header()["dataWindow"]
        check_picture_size(*(int(b - a + 1) for a, b in zip(low, high, strict=True)))
    with OpenEXR.File(str(path)) as file:
        channels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
    if len(channels) == 1:
        return next(iter(channels.values()))
    for name in ("RGB", "RGBA"):
        if name in channels:
            return channels[name][..., :3]
    raise MtlError(
        f"has the channels {', '.join(channels)}; one channel, or R, G and B, can be read"
    )


def channels_first(array: NDArray[Any], path: Path, channels: int) -> NDArray[Any]:
    """Return a map (C, H, W) for one of shape (C, H, W) or (H, W, C).

    Raises:
        MtlError: if the map does not have so many channels; the message names the file.
    """
    if array.ndim == 3 and array.shape[2] == channels:
        return array.transpose(2, 0, 1)
    if array.ndim == 3 and array.shape[0] == channels:
        return array
    raise MtlError(f"{path} should have {channels} channels, found shape {array.shape}")


def converted(
    kind: MapKind, scale: float, ignored: tuple[int, ...] | None
) -> Callable[[Path], NDArray[Any]]:
    """Return a function that reads a file of one kind of maps as targets.

    Args:
        kind: kind of the maps.
        scale: factor that numbers are multiplied by. It does not apply to normals in pictures of
            bytes: there 0 to 255 stand for -1 to 1, and black and middle grey for no label.
        ignored: whole numbers that stand for no label; ``None`` takes -1, and 255 unless maps are
            binary.
    """
    if ignored is None:  # in pictures of black and white 255 is a label
        ignored = (-1,) if kind == "binary" else (-1, 255)

    def whole(path: Path) -> NDArray[Any]:
        array = read_map(path)
        if array.ndim != 2:
            raise MtlError(
                f"{path} should hold a map (H, W) of whole numbers, found {array.shape}; colours "
                "are no numbers of classes"
            )
        if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
            raise MtlError(f"{path} should hold whole numbers, found {array.dtype} with fractions")
        numbers = array.astype(np.int64)
        numbers[np.isin(numbers, ignored)] = -1
        return numbers

    def floats(path: Path) -> NDArray[Any]:
        array = read_map(path)
        if array.ndim == 3 and bool((array[..., :3] == array[..., :1]).all()):
            array = array[..., 0]  # grey levels in three channels
        if array.ndim != 2:
            raise MtlError(f"{path} should hold a map (H, W), found {array.shape}")
        return (array.astype(np.float64) * scale).astype(np.float32)

    def vectors(path: Path) -> NDArray[Any]:
        raw = channels_first(read_map(path), path, 3)
        if raw.dtype == np.uint8:  # black and middle grey are no directions
            values = raw.astype(np.float32) / 127.5 - 1
            none = (raw == 0).all(0) | (np.linalg.norm(values, axis=0) < _UNIT)
            return np.where(none, 0, values).astype(np.float32)
        return (raw.astype(np.float64) * scale).astype(np.float32)

    if kind == "normals":
        return vectors
    return whole if kind in ("segmentation", "binary") else floats
