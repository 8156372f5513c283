"""Arrays that a program holds become inputs by the rules of the suite ``arrays``."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from ..support.errors import MtlError, UnknownNameError
from .array_inputs import CHANNELS, flat_hints, image_hints, to_features, to_images
from .pictures import DEFAULT, PictureOptions

Channels = Literal["auto", "first", "last"] | None


@dataclass(frozen=True)
class Reading:
    """A reading says how arrays become images or features.

    Args:
        channels: position of the channels of images: ``auto``, ``first`` or ``last``; ``None``:
            arrays are features, whatever their shape.
        pictures: their range of values holds for arrays, too.
        first: whether ``auto`` takes channels that may be at both ends as the first, as torch has
            them, and not as the last.

    Raises:
        MtlError: if there is no such position.
    """

    channels: Channels = "auto"
    pictures: PictureOptions = DEFAULT
    first: bool = False

    def __post_init__(self) -> None:
        if self.channels is not None and self.channels not in ("auto", "first", "last"):
            raise UnknownNameError("channels", str(self.channels), ("auto", "first", "last"))

    @classmethod
    def of(cls, channels: Any, value_range: Any) -> "Reading":
        """Make a reading of the arguments of :meth:`Suite.from_arrays`."""
        try:
            ends = None if value_range is None else (float(value_range[0]), float(value_range[1]))
            if ends is not None and len(value_range) != 2:
                raise TypeError
        except (TypeError, ValueError, IndexError, KeyError):
            raise MtlError(
                f"value_range should be two numbers, the lower one first, found {value_range!r}"
            ) from None
        return cls(channels, PictureOptions(value_range=ends))

    def read(self, values: Any, where: str) -> tuple[Tensor, list[str]]:
        """Return inputs (N, ...), and lines on what is a guess; ``where`` begins messages.

        Raises:
            MtlError: if they are nothing that can be read.
        """
        array = as_array(values, where)
        return self.tensor(array, where), self.hints(array, where)

    def tensor(self, array: Shaped[np.ndarray, "rows *dims"], where: str) -> Tensor:
        """Return an array (N, ...) as images or features.

        Raises:
            MtlError: if dtype or shape do not fit.
        """
        what = _what(array, where)
        ends = self.pictures.value_range
        if (channels := self._channels(array)) is not None and array.ndim > 2:
            return to_images(array, channels, what, ends, section="")
        if ends is not None and self.channels is None:
            raise MtlError("value_range is for images, and channels=None says that there are none")
        return to_features(array, what)

    def hints(self, array: Shaped[np.ndarray, "rows *dims"], where: str) -> list[str]:
        """Return lines that tell how an array is read, where that is a guess."""
        what = _what(array, where)
        channels = self._channels(array)
        if channels is not None and array.ndim > 2:
            ranged = self.pictures.value_range is not None
            grey = (
                f"{what}: {array.dtype} taken as grey images (N, 1, H, W); channels=None takes "
                "arrays as they are"
            )
            taken = (
                f"{what}: channels may be at both ends of {array.shape[1:]}: taken as the first; "
                "channels='last' takes the last"
            )
            hints = [grey] * (array.ndim == 3) + [taken] * (channels != self.channels)
            return hints + image_hints(array, channels, what, ranged, section="")
        if array.dtype.kind in "iu" and array.dtype != np.uint8:
            return [
                f"{what}: {array.dtype} stays whole numbers, as tokens are; where they are "
                "quantities, make floats of them: inputs.astype('float32')"
            ]
        return flat_hints(array, what)

    def _channels(self, array: np.ndarray) -> Channels:
        both = array.ndim == 4 and {array.shape[1], array.shape[3]} <= set(CHANNELS)
        return "first" if both and self.first and self.channels == "auto" else self.channels


def as_array(values: Any, where: str) -> np.ndarray:
    """Return what a program gives as inputs (N, ...) as an array.

    Raises:
        MtlError: if it holds no numbers, or has no axis but that of the examples.
    """
    found = type(values).__name__
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
        array: np.ndarray = values.numpy()
    else:
        try:
            array = np.array(values)
        except (TypeError, ValueError) as error:  # rows of different length
            raise MtlError(
                f"{where}: inputs should be numbers (N, ...), as an array or a tensor; found "
                f"{found} that numpy makes none of ({error})"
            ) from error
    if array.dtype.kind not in "fiub":
        raise MtlError(
            f"{where}: inputs should be numbers (N, ...), as an array or a tensor; found {found} "
            f"of {array.dtype}"
        )
    if array.ndim < 2:
        raise MtlError(
            f"{where}: inputs should be (N, ...): images (N, H, W), (N, H, W, C) or (N, C, H, W), "
            f"or features; found {array.dtype} of shape {array.shape}"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _what(array: np.ndarray, where: str) -> str:
    return f"{where}: the array of inputs {array.shape}"
