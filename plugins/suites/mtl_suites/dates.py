"""Dates are recognised in the ways that people and programs write them."""

import re
from collections.abc import Mapping
from datetime import date, datetime

#: Share of a column's cells that are dates, from which on the column holds dates.
MOSTLY = 0.9
AS_NUMBER = "write a number for a date, e.g. of days since the first"

_NUMERIC = re.compile(r"([0-9]{1,4})([-./] ?)([0-9]{1,2})\2([0-9]{1,4})")
_NAMED = re.compile(r"[0-9]{1,2}[- ][A-Za-z]{3,9}[- ][0-9]{2,4}|[A-Za-z]{3,9} [0-9]{1,2}, [0-9]{4}")
_FORMATS = ("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")
_CLOCK = re.compile(
    r"(?:T|,? )[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?[AaPp][Mm])?"
    r"(?: ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?"
)
_DAY_NUMBER = re.compile(r"(?:19|20)[0-9]{6}")


def is_date(cell: str) -> bool:
    """Say whether a text is a date, possibly with a time: ``1-1-24``, ``Jan 1, 2024 18:00``."""
    if _DAY_NUMBER.fullmatch(cell):
        return _is_day(int(cell[:4]), int(cell[4:6]), int(cell[6:]))
    numbers = _NUMERIC.match(cell)
    if numbers and _has_format(cell, ""):
        return True
    if found := numbers or _NAMED.match(cell):
        if found.end() < len(cell) and not _CLOCK.fullmatch(cell, found.end()):
            return False
        return _is_numeric(numbers) if numbers else _is_named(found[0])
    return False


def dates_among(count: Mapping[str, int]) -> str:
    """Return the first date of a column that holds dates, or an empty text.

    Args:
        count: how often each text stands in the column. Nine tenths of all are enough, or all
            where dates are written as whole numbers (20240131).
    """
    found = [text for text in count if is_date(text)]
    if len(found) == len(count):
        return found[0]
    found = [text for text in found if not text.isdecimal()]
    enough = sum(count[text] for text in found) >= MOSTLY * sum(count.values())
    return found[0] if enough and found else ""


def _is_numeric(found: re.Match[str]) -> bool:
    first, middle, last = found[1], int(found[3]), found[4]
    if len(first) > 2 or len(first) == len(found[3]) == len(last) == 2:
        year = int(first) if len(first) == 4 else 2000 + int(first) if len(first) == 2 else 0
        if len(last) <= 2 and year and _is_day(year, middle, int(last)):
            return True
    if len(first) > 2 or len(last) not in (2, 4):
        return False
    year = int(last) if len(last) == 4 else 2000 + int(last)
    return _is_day(year, middle, int(first)) or _is_day(year, int(first), middle)


def _is_named(text: str) -> bool:
    return any(_has_format(text, form) for form in _FORMATS)


def _has_format(text: str, form: str) -> bool:
    """Say whether a date has a format of ``strptime``, or that of ISO if the format is empty."""
    try:
        datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
