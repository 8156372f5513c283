"""Arrays become the inputs of networks: images or features, with hints where that is a guess."""

import numpy as np
import torch
from torch import Tensor

from ..support.errors import MtlError
from .levels import byte_levels

#: Numbers of channels that an axis of images is taken for.
CHANNELS = (1, 3, 4)


def to_images(
    array: np.ndarray,
    channels: str,
    what: str,
    value_range: tuple[float, float] | None = None,
    section: str = "suite.",
) -> Tensor:
    """Return an array of images as a tensor (N, C, H, W) of uint8 or float32.

    Args:
        array: images of shape (N, H, W), (N, H, W, C) or (N, C, H, W). Without ``value_range``
            uint8 and floats keep their values, uint16 is scaled to 0 to 255, and bool becomes 0 and
            255; other dtypes are refused.
        channels: position of the channels in four dimensions: ``first``, ``last``, or ``auto``,
            which takes the axis of length 1, 3 or 4, and the last one where both have such lengths.
        what: name of the array in messages.
        value_range: the two numbers of the array that become 0 and 255.
        section: where a user sets ``channels`` and ``value_range``: below this in a config, or as
            arguments of a function where it is empty.

    Raises:
        MtlError: if dtype or shape do not fit, or numbers are outside the range; the message names
            the array.
    """
    if array.dtype.kind != "f" or value_range is not None:
        if array.dtype.kind not in "fiub":
            raise MtlError(f"{what} should hold numbers, found {array.dtype}")
        try:
            array = byte_levels(array, value_range, f"{section}value_range")
        except MtlError as error:
            raise MtlError(f"{what} {error}") from None
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim != 4:
        raise MtlError(
            f"{what} should have shape (N, H, W), (N, H, W, C) or (N, C, H, W), found {array.shape}"
        )
    else:
        last = array.shape[3] in CHANNELS
        if channels == "auto" and not last and array.shape[1] not in CHANNELS:
            raise MtlError(
                f"{what} of shape {array.shape} has neither 1, 3 nor 4 channels; say where they "
                f"are with {_channels(section, 'first', 'last')}"
            )
        if channels == "last" or (channels == "auto" and last):
            array = array.transpose(0, 3, 1, 2)
    found = torch.from_numpy(np.ascontiguousarray(array))
    return found if found.dtype == torch.uint8 else found.float()


def image_hints(
    array: np.ndarray, channels: str, what: str, ranged: bool, section: str = "suite."
) -> list[str]:
    """Return lines that tell a user how an array of images is read, where that is a guess.

    Args:
        array: the images, as :func:`to_images` takes them.
        channels: position of the channels, as :func:`to_images` takes it.
        what: name of the array in messages.
        ranged: whether the user has given the range of its numbers.
        section: as :func:`to_images` takes it.
    """
    hints = []
    ends = {array.shape[1], array.shape[-1]} if array.ndim == 4 else {0}
    if channels == "auto" and ends <= set(CHANNELS):
        hints.append(
            f"{what}: channels may be at both ends of {array.shape[1:]}: taken as the last; "
            f"{_channels(section, 'first')} takes the first"
        )
    if ranged or not array.size or array.dtype.kind not in "iuf":
        return hints
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f" and (low < 0 or high > 1):
        remedy = f"{section}value_range=[{low:.6g}, {high:.6g}]"
        if low >= -1 and high <= 1:
            remedy = f"{section}value_range=[-1, 1]"
        if low >= 0 and high <= 255:
            remedy = f"{section}value_range=[0, 255]"
        hints.append(
            f"{what}: floats from {low:.6g} to {high:.6g} are taken as they are, and image files "
            f"cannot be predicted; {remedy} scales them as bytes are"
        )
    elif array.dtype.newbyteorder("=") == np.uint16 and high < 4096:
        hints.append(
            f"{what}: uint16, but no number is above {high:.0f}: nearly black, since 65535 is "
            f"white; {section}value_range=[0, {4095 if high > 255 else 255}] makes another so"
        )
    return hints


def flat_hints(array: np.ndarray, what: str) -> list[str]:
    """Return a line if features are rows of bytes that may be pictures which have lost their shape.

    Rows of 784 bytes, for instance, may be grey images of 28 x 28 pixels.
    """
    if array.dtype != np.uint8 or array.ndim != 2:
        return []
    for channels in (1, 3):
        side = int(np.sqrt(array.shape[1] / channels))
        if side > 1 and channels * side**2 == array.shape[1]:
            shape = f"(N, {channels}, {side}, {side})"
            return [
                f"{what}: rows of {array.shape[1]} bytes are taken as features; where they are "
                f"pictures, save them as {shape}"
            ]
    return []


def is_images(array: np.ndarray) -> bool:
    """Say whether an array of inputs has the shape of images: (N, H, W, C) or (N, C, H, W).

    C, the number of channels, is 1, 3 or 4 then.
    """
    return array.ndim == 4 and bool({array.shape[1], array.shape[3]} & set(CHANNELS))


def to_features(array: np.ndarray, what: str) -> Tensor:
    """Return features: floats and bytes become float32, other whole numbers (tokens) int64.

    Args:
        array: features of shape (N, ...).
        what: name of the array in messages.

    Raises:
        MtlError: if the array does not hold numbers, or has no axis but that of the examples; the
            message names it.
    """
    if array.dtype.kind not in "fiub":
        raise MtlError(f"{what} should be numbers, found {array.dtype}")
    if array.ndim < 2:
        raise MtlError(f"{what} should have shape (N, ...), found {array.shape}")
    found = torch.from_numpy(np.ascontiguousarray(array))
    whole = array.dtype.kind in "iu" and array.dtype != np.uint8
    return found.long() if whole else found.float()


def _channels(section: str, *places: str) -> str:
    """Write how a user says where channels are: in a config, or as an argument."""
    return f"{section}channels=" + " or ".join(p if section else repr(p) for p in places)
