"""From what stands in a file to targets: classes, binary attributes, or numbers."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Binary, Classification, Objective, Regression

Kind = Literal["classes", "binary", "numbers"]


def infer_kind(values: Shaped[np.ndarray, "rows *numbers"]) -> Kind:
    """Numbers where there are floats or several a row, else classes."""
    return "numbers" if values.dtype.kind == "f" or values.ndim > 1 else "classes"


def make_targets(
    values: Shaped[np.ndarray, "rows *numbers"], kind: Kind, names: Sequence[str] = ()
) -> tuple[Objective, Tensor]:
    """The objective that fits the values, and its targets.

    Classes are numbered in the order of their values, from 0. Whole numbers that index ``names``
    are called so, others and texts by themselves.

    Args:
        values: of all splits together, so that all have the same classes.
        kind: what they are.
        names: of the classes 0, 1, ...; may name more than occur.

    Raises:
        MtlError: if the values are not of that kind.
    """
    if kind == "numbers":
        if values.dtype.kind not in "fiub":
            raise MtlError(f"numbers are expected, found {values.dtype} ({values.flat[0]!s})")
        numbers = values.reshape(len(values), -1)
        return Regression(numbers.shape[1]), torch.from_numpy(numbers.astype(np.float32))
    if values.ndim > 1 or values.dtype.kind not in "iubU":
        raise MtlError(
            f"labels should be whole numbers or texts, one a row, found {values.dtype} of shape "
            f"{values.shape}"
        )
    classes, codes = np.unique(values, return_inverse=True)
    targets = torch.from_numpy(codes.reshape(-1).astype(np.int64))
    if kind == "binary":
        if values.dtype.kind == "U" or not set(classes.tolist()) <= {0, 1}:
            found = ", ".join(map(str, classes[:5]))
            raise MtlError(f"binary labels should be 0 or 1, found {found}")
        return Binary(), torch.from_numpy(values.astype(np.int64))
    if len(classes) < 2:
        raise MtlError(f"there should be at least 2 classes, found only {classes[0]!s}")
    return Classification(len(classes), tuple(called_by(classes, names))), targets


def called_by(values: Shaped[np.ndarray, " values"], names: Sequence[str]) -> list[str]:
    """What values are called: by ``names`` where all are positions in it, else by themselves."""
    whole = values.dtype.kind in "iu" and bool((values >= 0).all() and (values < len(names)).all())
    return [names[int(value)] if whole else str(value) for value in values]
