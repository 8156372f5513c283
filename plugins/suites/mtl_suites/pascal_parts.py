"""Parts of persons as PASCAL-Part's files hold them: MATLAB structures of objects with masks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_framework import MtlError

PARTS = ("background", "head", "torso", "upper arms", "lower arms", "upper legs", "lower legs")
_PERSON = 15  # VOC's number
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
    """The variables of a MATLAB file, structures as dictionaries.

    Raises:
        MtlError: naming the file that cannot be read.
    """
    import scipy.io

    try:
        found: Mapping[str, Any] = scipy.io.loadmat(path, simplify_cells=True)
    except Exception as error:  # whatever a damaged file makes the parser raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MtlError(f"{path} cannot be read as a MATLAB file: {reason}") from error
    return found


def person_parts(path: Path) -> NDArray[Any] | None:
    """The number of a part at every pixel, 0 where there is none; ``None``: no person has parts.

    Raises:
        MtlError: naming the file that is none of PASCAL-Part, or a part that is not known.
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
    """The structures of an array, a single one, or none."""
    if isinstance(given, Mapping):
        yield given
    elif isinstance(given, (list, np.ndarray)):
        yield from (entry for entry in given if isinstance(entry, Mapping))
