"""Arrays as the inputs of networks: images, features, and what a user should know of them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from mtl_framework import MtlError
from mtl_framework.data import byte_levels

_CHANNELS = (1, 3, 4)
_ROWS_AT_ONCE = 1024


def to_images(
    array: np.ndarray,
    channels: str,
    what: str,
    value_range: tuple[float, float] | None = None,
) -> Tensor:
    """Images (N, C, H, W), uint8 or float32.

    Args:
        array: (N, H, W), (N, H, W, C) or (N, C, H, W); uint8, uint16 (scaled to 0 to 255),
            bool (0 and 255 then) or floats, which stay as they are.
        channels: ``first``, ``last``, or ``auto``: where 1, 3 or 4 of them are, preferably last.
        what: name of the array, for messages.
        value_range: the two numbers that become 0 and 255, of whole numbers and of floats; without
            it, whole numbers of other types are refused.

    Raises:
        MtlError: naming the array, on another dtype or shape, and numbers outside the range.
    """
    if array.dtype.kind != "f" or value_range is not None:
        if array.dtype.kind not in "fiub":
            raise MtlError(f"{what} should hold numbers, found {array.dtype}")
        try:
            array = byte_levels(array, value_range)
        except MtlError as error:
            raise MtlError(f"{what} {error}") from None
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


def image_hints(array: np.ndarray, channels: str, what: str, ranged: bool) -> list[str]:
    """What a user should know of how an array of images is taken.

    Args:
        array: as for :func:`to_images`.
        channels: likewise.
        what: name of the array.
        ranged: whether the range of its numbers was given.
    """
    hints = []
    ends = {array.shape[1], array.shape[-1]} if array.ndim == 4 else {0}
    if channels == "auto" and ends <= set(_CHANNELS):
        hints.append(
            f"{what}: channels may be at both ends of {array.shape[1:]}: taken as the last; "
            "suite.channels=first takes the first"
        )
    if ranged or not array.size or array.dtype.kind not in "iuf":
        return hints
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f" and (low < 0 or high > 1):
        remedy = f"suite.value_range=[{low:.6g}, {high:.6g}]"
        if low >= -1 and high <= 1:
            remedy = "suite.value_range=[-1, 1]"
        if low >= 0 and high <= 255:
            remedy = "suite.value_range=[0, 255]"
        hints.append(
            f"{what}: floats from {low:.6g} to {high:.6g} are taken as they are, and image files "
            f"cannot be predicted; {remedy} scales them as bytes are"
        )
    elif array.dtype.newbyteorder("=") == np.uint16 and high < 4096:
        hints.append(
            f"{what}: uint16, but no number is above {high:.0f}: nearly black, since 65535 is "
            f"white; suite.value_range=[0, {4095 if high > 255 else 255}] makes another so"
        )
    return hints


def flat_hints(array: np.ndarray, what: str) -> list[str]:
    """A line where rows of bytes may be pictures whose shape was lost."""
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
    """Whether an array of inputs that may be features has the shape (N, H, W, C) or (N, C, H, W).

    There are 1, 3 or 4 channels then.
    """
    return array.ndim == 4 and bool({array.shape[1], array.shape[3]} & set(_CHANNELS))


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
