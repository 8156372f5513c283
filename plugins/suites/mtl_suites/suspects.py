"""Labels that a user may not have meant: usual codes of a missing value, and constants."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from .options import Kind, counted, option

#: Numbers by which files say that there is no value, where all other values are at least zero.
_BELOW = frozenset([-1, -2, -7, -8, -9, -77, -88, -99, -777, -888, -999, -9999, -99999, -32768])
#: Likewise, where all other values are smaller.
_ABOVE = frozenset([9, 99, 255, 999, 9999, 99999, 999999, 32767, 65535])
_OFTEN = 3  # times that such a number stands in a column of numbers


def code_hints(task: str, kind: Kind, values: Shaped[np.ndarray, "rows *numbers"]) -> list[str]:
    """Return a line on numbers that are often written where there is no label; nothing is changed.

    Args:
        task: name of the task.
        kind: kind of its labels.
        values: the labels that are not missing.
    """
    numbers = _as_numbers(values)
    if kind == "binary" or numbers is None or not len(numbers):
        return []
    different, times = np.unique(numbers, return_counts=True)
    count = dict(zip(different.tolist(), times.tolist(), strict=True))
    below = [number for number in different.tolist() if number < 0]
    classes = kind == "classes"
    codes = []
    if below and len(below) < len(different) and set(below) <= _BELOW:
        codes = below
    elif below and classes and len(below) < len(different):
        codes = below[:1]
    last = different[-1]
    if last in _ABOVE and len(different) > 1 and _stands_apart(different, times, classes):
        codes.append(float(last))
    if not codes:
        return []
    texts = [f"{code:g}" for code in codes]
    listed = ", ".join(
        text if classes else f"{text} ({counted(count[code], 'time')})"
        for text, code in zip(texts, codes, strict=True)
    )
    one = len(codes) == 1
    what = ("a class" if one else "classes") if classes else ("a number" if one else "numbers")
    way = option("missing", task, *texts)
    return [
        f"{task!r}: {listed} {'is' if one else 'are'} taken as {what}; {way} takes "
        f"{'it' if one else 'them'} as no label"
    ]


def _stands_apart(
    different: Shaped[np.ndarray, " numbers"], times: Int64[np.ndarray, " numbers"], classes: bool
) -> bool:
    """Say whether the greatest class follows no other, or the greatest number is most frequent."""
    last, before = different[-1], different[-2]
    if classes:
        return bool(last - before > 1)
    return bool(last > before and times[-1] >= max(_OFTEN, 2 * int(np.max(times[:-1]))))


def _as_numbers(values: Shaped[np.ndarray, "rows *numbers"]) -> Shaped[np.ndarray, " rows"] | None:
    if values.ndim > 1:
        return None
    if values.dtype.kind == "U":
        try:
            return values.astype(np.float64)
        except ValueError:
            return None
    return values.astype(np.float64) if values.dtype.kind in "iuf" else None


def constant_hints(
    task: str,
    kind: Kind,
    values: Shaped[np.ndarray, "rows *numbers"],
    present: Bool[np.ndarray, " rows"],
    members: Mapping[str, Int64[np.ndarray, " _"]],
) -> list[str]:
    """Return a line where all labels of a split are the same, so that there is nothing to learn.

    Numbers that are the same in all splits are told as numbers; classes are never the same.

    Args:
        task: name of the task.
        kind: kind of its labels.
        values: the labels.
        present: which rows have one.
        members: the rows of every split.
    """
    if kind == "classes" or values.ndim > 1:
        return []
    known = {split: values[rows[present[rows]]] for split, rows in members.items()}
    one = {split: found[0] for split, found in known.items() if len(np.unique(found)) == 1}
    if len(one) == len(known) and len(set(one.values())) == 1:
        if kind == "numbers":
            return []
        return [
            f"{task}: all labels are {float(next(iter(one.values()))):g}: there is nothing to learn"
        ]
    lines = []
    if "train" in one:
        what = f"all {counted(len(known['train']), 'label')} of training are {one['train']:g}"
        lines.append(f"{task}: {what}, and others are not: there is nothing to learn")
    if "test" in one and kind == "binary":
        what = f"all {counted(len(known['test']), 'label')} of test are {one['test']:g}"
        lines.append(f"{task}: {what}: of the other value nothing is measured")
    return lines
