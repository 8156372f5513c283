"""Images from files."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import MtlError


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
    try:
        if path.suffix == ".npy":
            return _from_array(np.load(path, allow_pickle=False), path)
        with Image.open(path) as image:
            array = np.array(image.convert("L" if grey else "RGB"), dtype=np.uint8)
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
