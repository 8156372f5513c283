"""Images are read from files, and turned into what networks read."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from PIL import Image
from torch import Tensor

from ..support.errors import MtlError, message_of
from .levels import byte_levels
from .pictures import DEFAULT, Mode, PictureOptions, read_picture


class ImageNormalization(NamedTuple):
    """Mean and standard deviation by which images in [0, 1] are normalised, channel by channel.

    Each holds one number for every channel; ``None``: images are not shifted, or not scaled.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


#: Images in [0, 1] as they are.
RAW = ImageNormalization()


def read_image(
    path: Path, grey: bool = False, options: PictureOptions = DEFAULT
) -> UInt8[Tensor, "channels height width"]:
    """Read an image file, or an array in an ``.npy`` file, as uint8 (C, H, W).

    Image files become RGB, or one grey channel. Arrays keep their channels: (H, W), (H, W, C) with
    one, three or four channels, or (C, H, W), of uint8, bool, uint16 or floats from 0 to 1, all
    scaled to 0 to 255.

    Args:
        path: path of the file.
        grey: turn an image file into one grey channel.
        options: how transparency, ranges of values and animations are handled.

    Raises:
        MtlError: naming the file that is missing, damaged, no image, or one that cannot be read
            faithfully.
    """
    if path.suffix != ".npy":
        return decode_image(path, "L" if grey else "RGB", options=options)
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MtlError(f"there is no image {path}") from None
    except (OSError, ValueError, EOFError) as error:
        reason = message_of(error)
        raise MtlError(f"{path} cannot be read as an image: {reason}") from error
    return _from_array(array, path, options)


def decode_image(
    path: Path,
    mode: Mode,
    size: tuple[int, int] | None = None,
    options: PictureOptions = DEFAULT,
) -> UInt8[Tensor, "channels height width"]:
    """Read an image file as uint8 (C, H, W), as :func:`read_picture` does.

    Args:
        path: path of the file.
        mode: ``L`` (one grey channel), ``RGB`` or ``RGBA``.
        size: width and height to resize to (bilinear, antialiased); ``None``: its own size.
        options: how transparency, ranges of values and animations are handled.

    Raises:
        MtlError: naming the file that is missing, damaged, no image, or one that cannot be read
            faithfully.
    """
    picture = read_picture(path, mode, options)
    try:
        if size is not None:
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        return channels_first(picture)
    except MemoryError as error:
        shown = "x".join(map(str, picture.size))
        raise MtlError(f"{path} has {shown} pixels, for which there is no memory") from error


def channels_first(picture: Image.Image) -> UInt8[Tensor, "channels height width"]:
    """Return a picture of 8 bits a channel as a tensor (C, H, W)."""
    array = np.array(picture, dtype=np.uint8)
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1).contiguous()


def _from_array(
    array: np.ndarray, path: Path, options: PictureOptions
) -> UInt8[Tensor, "channels height width"]:
    if array.ndim not in (2, 3) or not array.size:
        raise MtlError(
            f"{path} should hold an image (H, W), (H, W, C) or (C, H, W), found {array.dtype} of "
            f"shape {array.shape}"
        )
    try:
        array = byte_levels(array, options.value_range)
    except MtlError as error:
        raise MtlError(f"{path} {error}") from None
    if array.ndim == 2:
        array = array[None]
    elif array.shape[0] not in (1, 3, 4) and array.shape[2] in (1, 3, 4):
        array = array.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(array))


def prepare(
    inputs: Shaped[Tensor, "rows *dims"],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Shaped[Tensor, "rows *dims"]:
    """Turn uint8 images into floats from 0 to 1 and normalise them; other inputs stay as they are.

    Args:
        inputs: images (N, C, ...) as uint8, or anything of another dtype.
        mean: C numbers, subtracted from the channels of the images in [0, 1]; ``None``: 0.
        std: C numbers by which the channels are divided afterwards; ``None``: 1.

    Raises:
        MtlError: if there are not as many numbers as channels.
    """
    if inputs.dtype != torch.uint8:
        return inputs
    images = inputs.to(torch.get_default_dtype()) / 255
    for name, numbers in {"mean": mean, "std": std}.items():
        if numbers is not None and len(numbers) != inputs.shape[1]:
            raise MtlError(
                f"{name} should hold one number a channel, found {len(numbers)} for "
                f"{inputs.shape[1]} channels"
            )
    per_channel = (-1,) + (1,) * (inputs.ndim - 2)
    if mean is not None:
        images -= images.new_tensor(mean).view(per_channel)
    if std is not None:
        images /= images.new_tensor(std).view(per_channel)
    return images
