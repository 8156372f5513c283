"""Rules guess what the labels of a task are, if a user does not say it, and tell their doubts."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from mtl_framework.data import guess_kind

from .dates import dates_among
from .decimals import swapped
from .options import Kind, counted, option

#: Share of a column's cells that are numbers, from which on all others are taken for mistakes.
NUMERIC = 0.9
#: Up to so many different whole numbers are classes, and the user is not asked to check that.
FEW = 9
#: Up to so many different whole numbers are classes even if they are not consecutive.
MANY = 20
#: Whole numbers are classes only if every class has so many rows on average.
ROWS_A_CLASS = 2

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_POINTED = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0")
_CENTS = re.compile(r"[+-]?[0-9]+\.[0-9]{2,}")
_SCIENTIFIC = re.compile(
    r"[+-]?[0-9]\.[0-9]+[eE][+-]?[0-9]+"
)  # 1.23e+05, which is no code as 1e3 is
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TRUTH = {"true": 1, "false": 0, "1": 1, "0": 0, "1.0": 1, "0.0": 0}
_INDEX = re.compile(r"|Unnamed: [0-9]+(?:_level_[0-9]+)?|__index_level_[0-9]+__|\.\.\.[0-9]+")
_TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?: ?[AaPp][Mm])?")
_ID = re.compile(r"(?i:(?:^|.*[_\s.-])(?:u?id|uuid|guid|idx|index))|.*[a-z](?:Id|ID)")
_FOLD = re.compile(r"(?i:(?:k|cv|kf)?[_ -]?folds?)")
_SPLIT = re.compile(
    r"(?i:is[_ ]?(?:train|training|valid|validation|val|test)(?:_?(?:img|image|set))?)"
)
# Numbers with a currency, a unit, or a mark between thousands
_DRESSED = re.compile(
    r"[€$£¥]? ?[+\-−]?(?:[0-9]{1,3}(?:[,.' \u00a0\u202f][0-9]{3})+|[0-9]+)(?:[.,][0-9]+)? ?"
    r"(?:[%€$£¥]|[kmµ]?g|[cmkµ]?m|m?l|m?s|min|h|px|°[CF]|USD|EUR)?"
)
PLAINLY = "write numbers without signs, units and thousands"
_MARKS = 3  # so many different texts among numbers may all mean that there is no label


@dataclass(frozen=True)
class Guess:
    """A guess says what a column seems to hold.

    Args:
        kind: classes, binary or numbers; ``None`` if the column is no task.
        remark: a line that tells a user why the column is no task, or that it may be of another
            kind; empty if there is no doubt.
    """

    kind: Kind | None
    remark: str = ""


def guess_column(name: str, cells: Sequence[str], commas: bool = False) -> Guess:
    """Guess what a table's column holds, from its cells that have a value.

    With ``commas`` its decimals stand behind commas, as :func:`has_decimal_commas` says.

    1. An index (a column without a name, or with the name that pandas gives an index; whole numbers
       that count the rows; an id, a fold), dates, times and a single class are no task.
    2. Cells with 0 and 1, or true and false, are binary.
    3. Numbers some of which have decimals are numbers, even if up to a tenth of the cells is
       something else, or up to half if that is at most three texts, which may mean "no label".
    4. Whole numbers are classes if a class has at least two rows on average, and there are at most
       20 different ones or they count from 0 or 1 without a gap; otherwise they are numbers.
    5. All other cells are classes, where ``01`` and ``1`` are different ones. Texts that are
       different in every row are names, and no task.
    """
    if commas:  # texts in messages are swapped back
        cells = [swapped(cell) for cell in cells]
    count = Counter(cells)
    texts = list(count)
    if why := _no_task(name, count):
        return _none(name, why)
    if all(truth(text) is not None for text in texts):
        return Guess("binary")
    if is_whole(texts):
        return _guess_whole(name, [int(text) for text in as_classes(cells)])
    numbers = {text: value for text in texts if (value := number(text)) is not None}
    share = sum(count[text] for text in numbers) / len(cells)
    decimals = any(not value.is_integer() for value in numbers.values())
    decimals |= all(map(_CENTS.fullmatch, texts)) or any(map(_SCIENTIFIC.fullmatch, texts))
    if decimals and share >= NUMERIC and not any(map(_is_coded, texts)):
        return Guess("numbers")
    if len(numbers) < len(texts) <= len(numbers) + _MARKS and share >= 0.5:
        marks = [text for text in texts if text not in numbers]
        others = [cell for cell in cells if cell in numbers]
        often = all(count[mark] > 1 for mark in marks) and len(others) > FEW
        if often and guess_column(name, others).kind == "numbers":
            return Guess("numbers")  # the marks are faults, with their remedy
    dressed = next((text for text in texts if text not in numbers), "")
    dressed = dressed if all(map(is_dressed, texts)) else ""
    shown = swapped(dressed) if commas else dressed
    like = f"holds texts such as {shown!r}: {PLAINLY}"
    if len(texts) == len(cells) > FEW:
        what = f"has another text in each of {counted(len(cells), 'row')}"
        return _none(name, like if dressed else what)
    if dressed:
        return Guess("classes", f"column {name!r} {like}; taken as classes")
    if share >= 0.5:
        plain = [text for text in texts if not _WHOLE.fullmatch(text)]
        odd = next((text for text in plain if text not in numbers), plain[0])
        shown = swapped(odd) if commas else odd
        what = f"{share:.0%} of its cells are numbers, but {shown!r} may be a name"
        return Guess("classes", _near(name, what, "classes", "numbers"))
    if len(texts) > MANY and len(cells) < ROWS_A_CLASS * len(texts):
        what = f"{len(texts)} different texts in {counted(len(cells), 'row')}"
        return Guess("classes", f"{name!r}: {what}: taken as classes; suite.tasks leaves it out")
    return Guess("classes")


def guess_array(name: str, values: Shaped[np.ndarray, "rows *numbers"]) -> Guess:
    """Guess what an array of labels holds, by the rules of :func:`guess_kind`.

    Args:
        name: name of the task.
        values: the labels that are not missing.
    """
    kind = guess_kind(values)
    if values.ndim > 1 or values.dtype.kind not in "iuf" or (values != np.round(values)).any():
        return Guess(kind)
    different = len(np.unique(values))
    what = f"{different} different whole numbers"
    if values.dtype.kind == "f":
        rare = len(values) < ROWS_A_CLASS * different
        stored = f"{what}, stored as floats"
        return Guess(kind, "" if rare else _near(name, stored, "numbers", "classes"))
    if kind == "numbers":
        what = f"{what} in {counted(len(values), 'row')}"
        return Guess(kind, _near(name, what, "numbers", "classes"))
    consecutive = different == int(values.max()) - int(values.min()) + 1
    if different > FEW and not consecutive:
        return Guess(kind, _near(name, what, "classes", "numbers"))
    return Guess(kind)


def is_whole(cells: Sequence[str]) -> bool:
    """Say whether all cells are whole numbers written in the same way: ``3``, or ``3.0``."""
    return all(map(_WHOLE.fullmatch, cells)) or all(map(_POINTED.fullmatch, cells))


def as_classes(cells: Sequence[str]) -> list[str]:
    """Return the class of every cell: its text, with ``3`` for ``3.0`` if all have that form."""
    found = [_POINTED.fullmatch(cell) for cell in cells]
    return [match[1] for match in found if match] if all(found) else list(cells)


def _is_coded(text: str) -> bool:
    """Say whether a text begins with a zero that a number would not have, as ``007`` does."""
    return re.match(r"[+-]?0[0-9]", text) is not None


def _no_task(name: str, count: Counter[str]) -> str:
    """Return the reason why a column is no task of any kind; empty if it may be one."""
    texts = list(count)
    rows = sum(count.values())
    if not name:
        return "has no name"
    if _INDEX.fullmatch(name):
        return "is an index of rows"
    if example := dates_among(count):
        return f"holds dates (e.g. {example})"
    if all(map(_TIME.fullmatch, texts)):
        return f"holds times (e.g. {texts[0]})"
    if all(map(_WHOLE.fullmatch, texts)):
        if _ID.fullmatch(name) and len(texts) == rows > FEW:
            return "has another number in every row, as an id does"
        if _FOLD.fullmatch(name) and len(texts) <= MANY:
            return "seems to number folds"
    if _SPLIT.fullmatch(name) and all(truth(text) is not None for text in texts):
        return "seems to say the split (a column 'split' of train, validation and test is read)"
    if len(texts) == 1 and rows > FEW and truth(texts[0]) is None:
        return "" if number(texts[0]) is not None else f"says {texts[0]!r} in every row"
    return ""


def is_dressed(text: str) -> bool:
    """Say whether a text is a number that is written for people: ``$5``, ``1,234.5``, ``45 %``."""
    return _DRESSED.fullmatch(text) is not None


def truth(cell: str) -> int | None:
    """Return 0 or 1 for a text that says one of them, e.g. ``true``, and ``None`` for others."""
    return _TRUTH.get(cell.lower())


def number(cell: str) -> float | None:
    """Return the finite number that a text stands for, or ``None`` if it is no such number."""
    value = float(cell) if _NUMBER.fullmatch(cell) else None
    return value if value is not None and math.isfinite(value) else None


def _guess_whole(name: str, values: Sequence[int]) -> Guess:
    first, rows = values[0], len(values)
    if rows > FEW and first in (0, 1) and values == list(range(first, first + rows)):
        return _none(name, "counts the rows")
    different = sorted(set(values))
    consecutive = different[0] in (0, 1) and different[-1] - different[0] == len(different) - 1
    classes = rows >= ROWS_A_CLASS * len(different) and (consecutive or len(different) <= MANY)
    what = f"{len(different)} different whole numbers in {counted(rows, 'row')}"
    if not classes:
        return Guess("numbers", _near(name, what, "numbers", "classes"))
    if len(different) > FEW:
        return Guess("classes", _near(name, what, "classes", "numbers"))
    return Guess("classes")


def _near(name: str, what: str, taken: Kind, other: Kind) -> str:
    way = option("kinds", name, other)
    return f"{name!r}: {what}: taken as {taken}; {way} takes them as {other}"


def _none(name: str, why: str) -> Guess:
    if not name:
        return Guess(None, f"column {name!r} {why}: left out; write a name into the first row")
    way = option("kinds", name, "classes")
    return Guess(None, f"column {name!r} {why}: left out; {way} makes it a task")
