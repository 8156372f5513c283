"""PASCAL-Part's files hold parts of persons as MATLAB structures of objects with masks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_framework import MtlError, message_of

PARTS = ("background", "head", "torso", "upper arms", "lower arms", "upper legs", "lower legs")
_PERSON = 15  # number of the class person in VOC
_HEAD = (
    "hair", "head", "lear", "rear", "lebrow", "rebrow", "leye", "reye", "mouth", "nose",
)  # fmt: skip
_OF_PARTS = {
    **dict.fromkeys(_HEAD, 1),
    **dict.fromkeys(("neck", "torso"), 2),
    **dict.fromkeys(("luarm", "ruarm"), 3),
    **dict.fromkeys(("llarm", "rlarm", "lhand", "rhand"), 4),
    **dict.fromkeys(("luleg", "ruleg"), 5),
    **dict.fromkeys(("llleg", "rlleg", "lfoot", "rfoot"), 6),
}


def read_mat(path: Path) -> Mapping[str, Any]:
    """Return the variables of a MATLAB file by name, with structures as dictionaries.

    Raises:
        MtlError: if the file cannot be read; the message names it.
    """
    import scipy.io

    try:
        found: Mapping[str, Any] = scipy.io.loadmat(path, simplify_cells=True)
    except Exception as error:  # whatever a damaged file makes the parser raise
        reason = message_of(error)
        raise MtlError(f"{path} cannot be read as a MATLAB file: {reason}") from error
    return found


def person_parts(path: Path) -> NDArray[Any] | None:
    """Return the number of a person's part at every pixel of a file's image.

    Returns:
        (H, W): positions in :data:`PARTS`, 0 at pixels without a part; ``None`` if no person in the
        image has parts.

    Raises:
        MtlError: if the file is none of PASCAL-Part, or has a part that is not known; the message
            names both.
    """
    anno = read_mat(path).get("anno")
    if not isinstance(anno, Mapping) or "objects" not in anno:
        raise MtlError(f"{path} should hold anno with objects, as PASCAL-Part's files do")
    target: NDArray[Any] | None = None
    for person in _entries(anno["objects"]):
        if int(person.get("class_ind", 0)) != _PERSON:
            continue
        for part in _entries(person.get("parts")):
            name, mask = str(part.get("part_name")), np.asarray(part.get("mask"))
            if name not in _OF_PARTS:
                raise MtlError(f"{path} has a part {name!r}, which is none of a person's")
            if target is None:
                target = np.zeros(mask.shape, np.int64)
            if mask.ndim != 2 or mask.shape != target.shape:
                raise MtlError(f"{path} has masks of different sizes")
            target[mask > 0] = _OF_PARTS[name]
    return target


def _entries(given: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the structures in an array, or a single structure, or nothing for other values."""
    if isinstance(given, Mapping):
        yield given
    elif isinstance(given, (list, np.ndarray)):
        yield from (entry for entry in given if isinstance(entry, Mapping))
