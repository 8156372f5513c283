"""Images of a suite that lie in files are checked at once, and held in memory if they are few."""

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
from mtl_framework.data import (
    ImageTransform,
    LazyInputs,
    PictureOptions,
    Transforms,
    read_image,
    unconverted_colours,
)

from .faults import SHAPE_REMEDY, Faults, reason
from .file_contents import FileContents

_MOST_BYTES = 2**30  # largest size of a split's images that are held in memory
_AS_THEY_ARE = PictureOptions()


@dataclass(frozen=True)
class ImageReader:
    """An image reader reads images from files.

    Args:
        grey: whether images get one channel instead of three.
        size: width and height in pixels that images are resized to; ``None`` leaves them.
        steps: transforms that every image goes through afterwards.
        pictures: how pixels of files become images, see :class:`PictureOptions`.
    """

    grey: bool
    size: int | None
    steps: ImageTransform
    pictures: PictureOptions = _AS_THEY_ARE

    def __call__(self, path: str) -> UInt8[Tensor, "channels height width"]:
        """Read one image.

        Raises:
            MtlError: if the file is missing, damaged or no image; the message names it.
        """
        return self.finished(self.picture(path))

    def picture(self, path: str) -> UInt8[Tensor, "channels height width"]:
        """Read one image as large as it is in the file.

        Raises:
            MtlError: if the file is missing, damaged or no image; the message names it.
        """
        return read_image(Path(path), self.grey, self.pictures)

    def finished(
        self, image: UInt8[Tensor, "channels height width"]
    ) -> UInt8[Tensor, "channels height_ width_"]:
        """Resize an image as the options say, and apply the other transforms."""
        if self.size is not None and image.shape[1:] != (self.size, self.size):
            image = transforms.resize(image, [self.size, self.size], antialias=True)
        return self.steps(image)


@dataclass(frozen=True)
class ImageForm:
    """These options of a suite say how images are read.

    Args:
        grey: whether images get one channel instead of three.
        size: width and height in pixels that images are resized to; ``None`` leaves them.
        transforms: transforms of training images, and those of images for evaluation.
        check: whether every image is read once, even if they are many, to find all damaged ones.
        pictures: how pixels of files become images: ground, range of values, animations.

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
        """Make the form of a suite's options, whose transforms are still a mapping.

        Raises:
            MtlError: if ``suite.transforms`` is wrong; the message says what.
        """
        further = Transforms.from_config(transforms, "suite.transforms")
        return cls(grey, size, further, check, pictures)

    @property
    def prediction(self) -> ImageTransform:
        """Return the transforms that an image goes through before a prediction."""
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
        """Read the images of a split.

        Images of up to 1 GiB become one tensor; more are read when they are needed.

        Args:
            split: name of the split, whose transforms are applied.
            paths: files of the images.
            names: what every image is called in messages.
            faults: the collection that gets images which cannot be read, or have another shape than
                the first.
            contents: the digests of files, which get those of the pixels of images that are read.

        Returns:
            the images that can be read, ``None`` if there are none, and their positions in
            ``paths``.
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
        """Return the shape of the first image that can be read."""
        for path in paths:
            try:
                return tuple(reader(path).shape)
            except MtlError:
                continue  # reported when all are read
        return None


def picture_kinds(paths: Iterable[Path]) -> dict[str, Any]:
    """Describe image files by their headers.

    Files that cannot be opened are left out, because they are reported elsewhere.

    Returns:
        ``modes``: number of files of each of Pillow's modes; ``sizes``: number of different sizes;
        ``from_to``: the smallest and the largest size, as width and height.
    """
    modes: Counter[str] = Counter()
    sizes: set[tuple[int, int]] = set()
    colours: Counter[str] = Counter()
    for path in paths:
        if path.suffix == ".npy":
            modes["npy"] += 1
            continue
        try:
            with Image.open(path) as image:
                modes[image.mode] += 1
                sizes.add(image.size)
                colours[unconverted_colours(image)] += 1
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    ends = [list(ordered[0]), list(ordered[-1])] if ordered else []
    kinds = {"modes": dict(modes.most_common()), "sizes": len(sizes), "from_to": ends}
    del colours[""]
    return {**kinds, "colours": dict(colours)} if colours else kinds


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
