"""Numbers have decimal points or decimal commas, and either mark may stand between thousands."""

import re
from collections import Counter
from collections.abc import Sequence

# A number that has the mark, as kinds.number reads those with a point
_DECIMAL = {
    mark: re.compile(rf"[+-]?(?:[0-9]+[{mark}][0-9]*|[{mark}][0-9]+)(?:[eE][+-]?[0-9]+)?")
    for mark in ".,"
}
# Marks that may stand between thousands; 0.125 is none, and a code such as 012.345 is
_THOUSANDS = {
    mark: re.compile(rf"[+-]?(?!0[{mark}])[0-9]{{1,3}}(?:[{mark}][0-9]{{3}})+") for mark in ".,"
}
_SHORT = re.compile(r"[+-]?[0-9]{1,3}")
_SWAPPED = str.maketrans(".,", ",.")


def has_decimal_commas(cells: Sequence[str]) -> bool:
    """Say whether the decimals of a column stand behind commas, in a file where they may.

    Most of the numbers with a mark decide, and those like ``1.234``, whose mark may stand between
    thousands, only where there is no other.
    """
    sure: Counter[str] = Counter()
    perhaps: Counter[str] = Counter()
    for text, times in Counter(cells).items():
        for mark, form in _DECIMAL.items():
            if form.fullmatch(text):
                among = perhaps if _THOUSANDS[mark].fullmatch(text) else sure
                among[mark] += times
    found = sure or perhaps
    return found[","] >= max(1, found["."])


def swapped(cell: str) -> str:
    """Return a number with a point for its comma, or a comma for its point; any other text as is.

    In a column with decimal commas this makes texts that Python reads: ``7,1`` is 7.1 there, and
    ``1.234`` is no number.
    """
    if any(form.fullmatch(cell) for form in _DECIMAL.values()):
        return cell.translate(_SWAPPED)
    return cell


def thousands(task: str, cells: Sequence[str], commas: bool) -> list[str]:
    """Return a line if what is read as decimals may be thousands, as in 900, 950 and 1.002.

    Args:
        task: name of the column.
        cells: its texts that are not missing.
        commas: whether decimals stand behind commas.
    """
    mark = "," if commas else "."
    grouped = [cell for cell in cells if _THOUSANDS[mark].fullmatch(cell)]
    read = next((cell for cell in grouped if _DECIMAL[mark].fullmatch(cell)), None)
    if read is None or len(grouped) < sum(not _SHORT.fullmatch(cell) for cell in cells):
        return []
    plain, value = read.replace(mark, ""), float(read.replace(mark, "."))
    return [f"{task}: {read} is read as {value:g}; for {plain}, write it so"]
