"""Images of a suite that lie in files: checked all at once, held in memory where they are few."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from mtl_framework import MtlError
from mtl_framework.data import ImageTransform, LazyInputs, PictureOptions, Transforms, read_image

from .faults import SHAPE_REMEDY, Faults, reason
from .file_contents import FileContents

_MOST_BYTES = 2**30  # of one split's images in memory
_AS_THEY_ARE = PictureOptions()


@dataclass(frozen=True)
class ImageReader:
    """An image of one shape from a file.

    Args:
        grey: one channel instead of three.
        size: width and height in pixels; ``None``: as the file has it.
        steps: what is done to every image afterwards, when it is read.
        pictures: how files are taken.
    """

    grey: bool
    size: int | None
    steps: ImageTransform
    pictures: PictureOptions = _AS_THEY_ARE

    def __call__(self, path: str) -> UInt8[Tensor, "channels height width"]:
        """Read one image.

        Raises:
            MtlError: naming the file that is missing, damaged or no image.
        """
        return self.finished(self.picture(path))

    def picture(self, path: str) -> UInt8[Tensor, "channels height width"]:
        """Read one image as large as it is in the file.

        Raises:
            MtlError: naming the file that is missing, damaged or no image.
        """
        return read_image(Path(path), self.grey, self.pictures)

    def finished(
        self, image: UInt8[Tensor, "channels height width"]
    ) -> UInt8[Tensor, "channels height_ width_"]:
        """Resize an image, and do the other steps."""
        if self.size is not None and image.shape[1:] != (self.size, self.size):
            image = transforms.resize(image, [self.size, self.size], antialias=True)
        return self.steps(image)


@dataclass(frozen=True)
class ImageForm:
    """How a suite's options say that images should be read.

    Args:
        grey: one channel instead of three.
        size: width and height in pixels; ``None``: that of the files.
        transforms: of the images, for training and evaluation apart.
        check: read every image once, whatever their number, so that all that are damaged are found.
        pictures: how files are taken: ground, range of values, animations.

    Raises:
        MtlError: if ``size`` is not from 1 to 4096.
    """

    grey: bool
    size: int | None
    transforms: Transforms
    check: bool = True
    pictures: PictureOptions = _AS_THEY_ARE

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= self.size <= 4096:
            raise MtlError(f"size should be from 1 to 4096, found {self.size}")

    @classmethod
    def from_options(
        cls,
        grey: bool,
        size: int | None,
        transforms: Mapping[str, Any] | None,
        check: bool,
        pictures: PictureOptions = _AS_THEY_ARE,
    ) -> "ImageForm":
        """The form that options of a suite ask for.

        Raises:
            MtlError: naming what is wrong in ``suite.transforms``.
        """
        further = Transforms.from_config(transforms, "suite.transforms")
        return cls(grey, size, further, check, pictures)

    @property
    def prediction(self) -> ImageTransform:
        """What is done to an image before a prediction."""
        resize = [{"name": "Resize", "size": [self.size, self.size]}] if self.size else []
        return ImageTransform.from_config(resize) + self.transforms.evaluation

    def read(
        self,
        split: str,
        paths: Sequence[Path],
        names: Sequence[str],
        faults: Faults,
        contents: FileContents | None = None,
    ) -> tuple[Tensor | LazyInputs | None, Int64[np.ndarray, " _"]]:
        """The images of a split, and the positions of those that can be read.

        Few images become one tensor; many are read when they are needed.

        Args:
            split: whose transforms are applied.
            paths: of the files.
            names: what to call the images in messages, one each.
            faults: gets those that cannot be read, or have another shape than the first.
            contents: gets digests of their pixels, where they are read here.

        Returns:
            ``None`` for the images where none can be read.
        """
        reader = ImageReader(self.grey, self.size, self.transforms.of(split).fixed, self.pictures)
        texts = [str(path) for path in paths]
        shape = self._shape(reader, texts)
        keep = shape is not None and len(texts) * int(np.prod(shape)) <= _MOST_BYTES
        if shape is None or keep or self.check:
            images, good = _read_all(reader, texts, names, shape, keep, faults, contents)
            if images is not None or not len(good):
                return images, good
        else:
            good = np.arange(len(texts))
        assert shape is not None
        lazy = LazyInputs(
            [texts[row] for row in good], shape, reader, names=[names[row] for row in good]
        )
        return lazy, good

    def _shape(self, reader: ImageReader, paths: Sequence[str]) -> tuple[int, ...] | None:
        """Of the first image that can be read."""
        for path in paths:
            try:
                return tuple(reader(path).shape)
            except MtlError:
                continue  # told of when all are read
        return None


def picture_kinds(paths: Iterable[Path]) -> dict[str, Any]:
    """What image files are by themselves: Pillow's modes, counted, the smallest and largest size.

    Only their heads are read; files that cannot be opened are left out, and told of elsewhere.
    """
    modes: Counter[str] = Counter()
    sizes: set[tuple[int, int]] = set()
    for path in paths:
        if path.suffix == ".npy":
            modes["npy"] += 1
            continue
        try:
            with Image.open(path) as image:
                modes[image.mode] += 1
                sizes.add(image.size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    ends = [list(ordered[0]), list(ordered[-1])] if ordered else []
    return {"modes": dict(modes.most_common()), "sizes": len(sizes), "from_to": ends}


def _read_all(
    reader: ImageReader,
    paths: Sequence[str],
    names: Sequence[str],
    shape: tuple[int, ...] | None,
    keep: bool,
    faults: Faults,
    contents: FileContents | None,
) -> tuple[Tensor | None, Int64[np.ndarray, " _"]]:
    held = torch.empty((len(paths), *shape), dtype=torch.uint8) if keep and shape else None

    def read(row: int) -> MtlError | None:
        try:
            picture = reader.picture(paths[row])
            if contents is not None:
                contents.add_pixels(Path(paths[row]), picture)
            image = reader.finished(picture)
        except MtlError as error:
            return error
        if tuple(image.shape) != shape:
            return MtlError(
                f"has shape {tuple(image.shape)}, others {shape}; {SHAPE_REMEDY}: set "
                "suite.size, or begin suite.transforms with Resize"
            )
        if held is not None:
            held[row] = image
        return None

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        errors = list(threads.map(read, range(len(paths))))
    for row, error in enumerate(errors):
        if error is not None:
            faults.add(names[row], reason(error, paths[row]))
    good = np.array([row for row, error in enumerate(errors) if error is None], np.int64)
    if held is not None and len(good) < len(paths):
        held = held[torch.from_numpy(good)]
    return (held if len(good) else None), good
