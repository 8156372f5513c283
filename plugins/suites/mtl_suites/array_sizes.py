"""Images in arrays are resized, part by part."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from mtl_framework import MtlError

_ROWS_AT_ONCE = 1024


def resized(images: Tensor, size: int) -> Tensor:
    """Resize images (N, C, H, W) to ``size`` pixels in width and height, with antialiasing.

    Raises:
        MtlError: if ``size`` is not from 1 to 1024.
    """
    if not 1 <= size <= 1024:
        raise MtlError(f"size should be from 1 to 1024, found {size}")
    if images.shape[2:] == (size, size):
        return images
    return in_parts(images, lambda part: transforms.resize(part, [size, size], antialias=True))


def in_parts(rows: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``function`` of all rows, computed part by part, which bounds the memory in use."""
    return torch.cat([function(part) for part in torch.split(rows, _ROWS_AT_ONCE)])
