"""Images: from files, and as networks read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..support.errors import MtlError


class ImageNormalization(NamedTuple):
    """What is subtracted from each channel of images in [0, 1], and what they are divided by.

    One number a channel each; ``None``: nothing.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


#: Images in [0, 1] as they are.
RAW = ImageNormalization()


def read_image(path: Path, grey: bool = False) -> UInt8[Tensor, "channels height width"]:
    """An image file, or an array in an ``.npy`` file, as uint8 (C, H, W).

    Image files become RGB, or one grey channel. Arrays stay as they are: uint8, (H, W), (H, W, C)
    with one, three or four channels, or (C, H, W).

    Args:
        path: of the file.
        grey: make one channel of an image file.

    Raises:
        MtlError: naming the file that is missing, damaged, or no image.
    """
    if path.suffix != ".npy":
        return decode_image(path, "L" if grey else "RGB")
    try:
        return _from_array(np.load(path, allow_pickle=False), path)
    except FileNotFoundError:
        raise MtlError(f"there is no image {path}") from None
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise MtlError(f"{path} cannot be read as an image: {reason}") from error


def decode_image(
    path: Path, mode: str, size: tuple[int, int] | None = None
) -> UInt8[Tensor, "channels height width"]:
    """An image file as uint8 (C, H, W).

    Args:
        path: of the file.
        mode: ``L`` (one grey channel), ``RGB`` or ``RGBA``.
        size: width and height to resize to (bilinear, antialiased).

    Raises:
        MtlError: naming the file that is missing, damaged, or no image.
    """
    try:
        with Image.open(path) as image:
            converted = image.convert(mode)
            if size is not None:
                converted = converted.resize(size, Image.Resampling.BILINEAR)
            array = np.array(converted, dtype=np.uint8)
    except FileNotFoundError:
        raise MtlError(f"there is no image {path}") from None
    except Image.DecompressionBombError as error:
        raise MtlError(f"{path} is too large an image: {error}") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise MtlError(f"{path} cannot be read as an image: {reason}") from error
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1).contiguous()


def _from_array(array: np.ndarray, path: Path) -> UInt8[Tensor, "channels height width"]:
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise MtlError(
            f"{path} should hold a uint8 image (H, W), (H, W, C) or (C, H, W), found "
            f"{array.dtype} of shape {array.shape}"
        )
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
    """What a network reads: images of dtype uint8 become floats from 0 to 1, the rest stays.

    Args:
        inputs: images (N, C, ...) as uint8, or anything of another dtype.
        mean: subtracted from each channel of uint8 images after that, C numbers.
        std: each channel is divided by it afterwards, C numbers.

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
