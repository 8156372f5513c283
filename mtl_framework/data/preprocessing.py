"""Preprocessing turns image files into what a run's networks read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from ..support.errors import MtlError
from .images import decode_image, prepare
from .levels import byte_levels
from .listing import pictures_below
from .pictures import DEFAULT, Mode, PictureOptions
from .streaming import LazyInputs
from .transforms import ImageTransform

#: Inputs of predictions, as a program has them.
GivenRows = Shaped[Tensor, "rows *dims"] | Shaped[np.ndarray, "rows *dims"]
_MODES: dict[int, Mode] = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing turns inputs into what the networks of a run read.

    Images are turned into grey or RGB, transformed as in evaluation, resized to height and width
    where they do not have them (bilinear, antialiased, without cropping), scaled to [0, 1], and
    normalised channel by channel where ``mean`` and ``std`` are given. Other inputs are taken as
    they are.

    Args:
        input_shape: shape of one input; (C, H, W) for images.
        mean: one number a channel that is subtracted from images in [0, 1]; ``None``: 0.
        std: one number a channel by which images are divided afterwards; ``None``: 1.
        dtype: dtype that the network reads: floats, or whole numbers such as words.
        transform: is applied to images as they come from files; ``None``: they are only resized.
        pictures: how image files are read.
        from_files: whether the inputs are what image files can hold; floats beyond [0, 1] are not.
    """

    input_shape: tuple[int, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    dtype: torch.dtype = torch.float32
    transform: ImageTransform | None = None
    pictures: PictureOptions = DEFAULT
    from_files: bool = True

    @property
    def reads_images(self) -> bool:
        """Say whether image files can be read, which need 1, 3 or 4 channels, height and width."""
        is_image = len(self.input_shape) == 3 and self.input_shape[0] in _MODES
        return is_image and self.dtype.is_floating_point and self.from_files

    def __call__(self, inputs: GivenRows) -> Shaped[Tensor, "rows *dims"]:
        """Check inputs (N, ...) and convert them to floats; uint8 images are scaled and normalised.

        Images of bool and uint16 are scaled as those in files are. Where the network reads whole
        numbers, they stay such.

        Raises:
            MtlError: if they are no tensor or array of numbers, have another shape, are no whole
                numbers where such are read, or images whose range is not known.
        """
        inputs = as_tensor(inputs)
        if tuple(inputs.shape[1:]) != self.input_shape:
            raise MtlError(
                f"inputs should have shape (N, {', '.join(map(str, self.input_shape))}), found "
                f"{tuple(inputs.shape)}"
            )
        if not self.dtype.is_floating_point:
            if inputs.is_floating_point():
                raise MtlError(f"inputs should be whole numbers, found {inputs.dtype}")
            return inputs.to(self.dtype)
        if len(self.input_shape) == 3 and not inputs.is_floating_point():
            inputs = self._bytes(inputs)
        prepared = prepare(inputs, self.mean, self.std)
        return prepared.to(self.dtype)

    def _bytes(self, images: Shaped[Tensor, "rows *dims"]) -> UInt8[Tensor, "rows *dims"]:
        if images.dtype == torch.uint8:
            return images
        try:
            scaled = byte_levels(images.cpu().numpy(), self.pictures.value_range)
        except MtlError:
            kind = str(images.dtype).removeprefix("torch.")
            raise MtlError(
                f"images should be uint8, or floats as the suite has them, found {kind} of shape "
                f"{tuple(images.shape)}"
            ) from None
        return torch.from_numpy(scaled).to(images.device)

    def read(self, paths: Sequence[Path]) -> Float[Tensor, "rows channels height width"]:
        """Read and preprocess image files.

        Raises:
            MtlError: if the run's inputs are not images, or naming the file that is not one.
        """
        self.check_files()
        return self(torch.stack([self._read(path) for path in paths]))

    def check_files(self) -> None:
        """Raise an error if image files cannot be what the networks read.

        Raises:
            MtlError: if the run's inputs are not images, or have numbers that files do not hold.
        """
        if len(self.input_shape) == 3 and not self.from_files:
            raise MtlError(
                "this run was trained on images that are floats beyond 0 to 1, which image files "
                "do not hold; use mtl_framework.load_run(...).predict with tensors"
            )
        if not self.reads_images:
            raise MtlError(
                f"this run's inputs have shape {self.input_shape}, which image files cannot fill; "
                "use mtl_framework.load_run(...).predict with tensors"
            )

    def _read(self, path: Path) -> UInt8[Tensor, "channels height width"]:
        channels, height, width = self.input_shape
        if self.transform is None:
            return decode_image(path, _MODES[channels], (width, height), self.pictures)
        image = decode_image(path, _MODES[channels], options=self.pictures)
        image = self.transform.apply(image[None], torch.zeros(1, dtype=torch.int64))[0]
        if image.shape[1:] != (height, width):
            from torchvision.transforms.v2 import functional

            image = functional.resize(image, [height, width], antialias=True)
        return image

    def to_plain(self) -> dict[str, Any]:
        """Return all steps as values for JSON, so that another program can do the same."""
        plain: dict[str, Any] = {"input_shape": list(self.input_shape)}
        if not self.dtype.is_floating_point:
            plain["dtype"] = "int64"  # which embeddings read, however small the suite keeps them
        if self.reads_images:
            plain |= {
                "mode": _MODES[self.input_shape[0]],
                "pictures": self.pictures.to_plain(),
                "transforms": [dict(x) for x in self.transform.entries] if self.transform else [],
                "resize": "bilinear",
                "scale": "x / 255",
                "mean": None if self.mean is None else list(self.mean),
                "std": None if self.std is None else list(self.std),
            }
        return plain


def as_tensor(inputs: Any) -> Tensor:
    """Return inputs of a prediction as a tensor; an array's numbers are copied.

    Raises:
        MtlError: on anything but a tensor or a numpy array of real numbers.
    """
    if isinstance(inputs, Tensor):
        if inputs.is_complex():
            raise MtlError(f"inputs should be real numbers, found {inputs.dtype}")
        return inputs
    array = np.asarray(inputs) if isinstance(inputs, np.ndarray) else None
    if array is None or array.dtype.kind not in "fiub":
        found = type(inputs).__name__ + ("" if array is None else f" of {array.dtype}")
        raise MtlError(
            f"inputs should be a tensor or a numpy array of numbers (N, ...), found {found}"
        )
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.array(array))  # a copy: arrays may be read-only, or run backwards


def in_unit_range(inputs: Shaped[Tensor, "rows *dims"] | LazyInputs) -> bool:
    """Say whether inputs are whole numbers, or floats from 0 to 1, as image files hold them."""
    if isinstance(inputs, LazyInputs) or not inputs.is_floating_point():
        return True
    return bool(inputs.min() >= 0) and bool(inputs.max() <= 1)


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Return the image files among paths; a folder stands for all images below it, sorted.

    Raises:
        MtlError: if a path does not exist, or a folder holds no image.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise MtlError(f"there is no image or folder {path}")
        if path.is_dir():
            inside = pictures_below(path)
            if not inside:
                raise MtlError(f"folder {path} holds no image of a kind that Pillow reads")
            files += inside
        else:
            files.append(path)
    return files
