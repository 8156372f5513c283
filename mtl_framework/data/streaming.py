"""Images that are read when they are needed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..errors import MtlError
from .images import read_image


@runtime_checkable
class Items(Protocol):
    """What can be counted and indexed: a list of paths, a map-style dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...


class LazyInputs:
    """Images in files or in a dataset, all of one shape once read; takes an input tensor's place.

    Args:
        items: paths of image files, or anything with a length whose rows ``decode`` understands. To
            be read by worker processes it must be picklable.
        shape: (C, H, W) of every image as it comes from ``transform``; default: that of the first.
        decode: makes a uint8 image (C, H, W) of an item; default: :func:`read_image`, grey where
            ``shape`` has one channel, RGB otherwise.
        transform: applied to every image after that, e.g. a resize; the same for the same image.
        names: what to call an item in messages, one each; default: the path, else the row.

    Attributes:
        shape: (N, C, H, W).
        dtype: uint8.

    Raises:
        MtlError: if there is no item, or the first one cannot be read or has another shape.
    """

    dtype = torch.uint8

    def __init__(
        self,
        items: Items,
        shape: Sequence[int] | None = None,
        decode: Callable[[Any], Tensor] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if not len(items):
            raise MtlError("there is no image")
        self._items = items
        self._decode = decode
        self._transform = transform
        self._names = names
        self._grey = shape is not None and shape[0] == 1
        self._image_shape = None if shape is None else tuple(shape)
        self._image_shape = tuple(self.read(0).shape)

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        assert self._image_shape is not None
        return torch.Size((len(self), *self._image_shape))

    @property
    def ndim(self) -> int:
        """4."""
        return 4

    @property
    def nbytes(self) -> int:
        """Memory that all images take together, in bytes."""
        return self.shape.numel()

    def __len__(self) -> int:
        return len(self._items)

    def read(self, row: int) -> UInt8[Tensor, "channels height width"]:
        """One image.

        Raises:
            MtlError: naming the image, if it cannot be read or has another shape than the first.
        """
        item = self._items[row]
        if self._decode is None:
            image = read_image(Path(item), grey=self._grey)
        else:
            image = self._decode(item)
        if self._transform is not None:
            image = self._transform(image)
        if image.dtype != torch.uint8 or image.ndim != 3:
            raise MtlError(
                f"image {self.name(row)} should be uint8 of shape (C, H, W), found {image.dtype} "
                f"of shape {tuple(image.shape)}"
            )
        if self._image_shape not in (None, tuple(image.shape)):
            raise MtlError(
                f"image {self.name(row)} has shape {tuple(image.shape)}, expected "
                f"{self._image_shape}; images of one task need one shape: begin the transforms "
                "with Resize"
            )
        return image

    def name(self, row: int) -> str:
        """What an image is called in messages."""
        if self._names is not None:
            return self._names[row]
        item = self._items[row]
        return str(item) if isinstance(item, str | Path) else str(row)
