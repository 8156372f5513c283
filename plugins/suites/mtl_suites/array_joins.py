"""Input arrays of several splits are joined only where their numbers mean the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Shaped

from mtl_framework import MtlError
from mtl_framework.data import byte_levels

from .npz import Found

_KNOWN = (np.dtype(np.bool_), np.dtype(np.uint8), np.dtype(np.uint16))
# Floats up to 1 and numbers above this one are not of one scale.
_BEYOND_UNIT = 10

Arrays = Mapping[str | None, np.ndarray]
Range = tuple[float, float] | None


def joined(found: Found) -> Shaped[np.ndarray, "*shape"]:
    """Join the arrays of all splits, one behind the other, with the dtype that numpy gives them.

    Raises:
        MtlError: if their shapes differ in more than their lengths.
    """
    _check_shapes(found)
    return _together(list(found.arrays.values()))


@dataclass(frozen=True)
class Joined:
    """These are the inputs of all splits, one split behind the other.

    Args:
        array: the inputs (rows, ...).
        scaled: whether images of several dtypes were scaled to uint8, each by its own range.
        remarks: lines that tell a user how inputs were scaled.
    """

    array: Shaped[np.ndarray, "*shape"]
    scaled: bool = False
    remarks: tuple[str, ...] = ()


def joined_inputs(found: Found, images: bool, value_range: Range = None) -> Joined:
    """Join the inputs of several splits; images of 8 bits, 16 bits and bool get one scale.

    Arrays without rows are left out, so that their dtype does not matter.

    Args:
        found: the inputs of every split.
        images: whether the inputs are images, not features.
        value_range: the two numbers that become black and white in every array; ``None`` if the
            user has not given them.

    Raises:
        MtlError: if the numbers of two arrays are not of one scale, with names, dtypes and ranges
            of both, or if shapes differ in more than the number of rows.
    """
    _check_shapes(found)
    parts = [
        _Part(found.names.get(split, str(split)), array)
        for split, array in found.arrays.items()
        if array.size
    ]
    if len(parts) < 2:
        return Joined(parts[0].array if parts else _together(list(found.arrays.values())))
    _check_scales(found.what, parts, images, value_range)
    dtypes = {part.array.dtype for part in parts}
    everything = [part.array for part in parts]
    if len(dtypes) == 1 or not images or all(dtype.kind == "f" for dtype in dtypes):
        return Joined(_together(everything))
    remark = f"{found.what}: {', '.join(map(str, parts))}: each is scaled to 0 to 255 by "
    if value_range is not None and np.dtype(np.bool_) not in dtypes:
        return Joined(_together(everything), False, (f"{remark}suite.value_range",))
    scaled = []
    for part in parts:
        try:
            scaled.append(byte_levels(part.array, value_range))
        except MtlError as error:
            raise MtlError(f"{found.what}: {part.name} {error}") from None
    by = "suite.value_range, bool as 0 and 255" if value_range else "the range of its dtype"
    return Joined(_together(scaled), True, (remark + by,))


def _check_shapes(found: Found) -> None:
    arrays = list(found.arrays.values())
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise MtlError(f"{found.what} should differ in their lengths only, found {shapes}")


def _together(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


@dataclass(frozen=True)
class _Part:
    """A part is the array of one split, with its name; as text it shows dtype and range."""

    name: str
    array: np.ndarray

    def __str__(self) -> str:
        dtype = self.array.dtype
        ends = "({}, {:g} to {:g})".format(dtype, *self.ends) if self.is_number else f"({dtype})"
        return f"{self.name} {ends}"

    @property
    def is_number(self) -> bool:
        return self.array.dtype.kind in "fiub"

    @cached_property
    def ends(self) -> tuple[float, float]:
        return float(self.array.min()), float(self.array.max())

    @property
    def is_known(self) -> bool:
        """Say whether the dtype tells which number is white.

        Those of 16 bits do not where no number is above 255: they may be bytes in a wider dtype.
        """
        dtype = self.array.dtype
        return dtype in _KNOWN and not (dtype == np.uint16 and 0 < self.ends[1] < 256)

    @property
    def role(self) -> str:
        """Return what the numbers are as features: ``tokens``, or the kind of their dtype."""
        dtype = self.array.dtype
        return "tokens" if dtype.kind in "iu" and dtype != np.uint8 else str(dtype.kind)


def _check_scales(what: str, parts: Sequence[_Part], images: bool, value_range: Range) -> None:
    for one, other in combinations(parts, 2):
        if _fit(one, other, images, value_range is not None):
            continue
        numbers = one.is_number and other.is_number
        ranged = images and value_range is None and numbers and not _far_apart(one, other)
        raise MtlError(
            f"{what}: {one} and {other} are not of one scale: save both with one dtype and range"
            + ", or say what black and white are in both with suite.value_range=[LOW, HIGH]"
            * ranged
        )


def _fit(one: _Part, other: _Part, images: bool, ranged: bool) -> bool:
    same = one.array.dtype == other.array.dtype
    if not (one.is_number and other.is_number):
        return same
    if not images:
        mixed = np.result_type(one.array, other.array).kind  # int64 with uint64: floats
        return same or (one.role == other.role and (one.role != "tokens" or mixed in "iu"))
    if _far_apart(one, other):
        return False
    kinds = {one.array.dtype.kind, other.array.dtype.kind}
    return same or ranged or kinds == {"f"} or (one.is_known and other.is_known)


def _far_apart(one: _Part, other: _Part) -> bool:
    """Say whether one array seems to end at 1 and the other far above, at 255 for instance."""
    kinds = {one.array.dtype.kind, other.array.dtype.kind}
    if "f" not in kinds or "b" in kinds:
        return False
    small, large = sorted((one, other), key=lambda part: part.ends[1])
    low, high = small.ends
    return low >= -1 and 0 < high <= 1 and _BEYOND_UNIT < large.ends[1] < np.inf
