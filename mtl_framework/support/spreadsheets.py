"""CSV files that people open in spreadsheets have no cells that run as formulas."""

from typing import TypeVar

Cell = TypeVar("Cell")


def csv_cell(value: Cell) -> Cell | str:
    """Return a cell that no spreadsheet takes for a formula: ``'`` goes before a text like one.

    Args:
        value: the cell; a text is changed where it begins with ``=``, ``+``, ``-``, ``@`` or a
            blank that begins a line; anything else stays as it is.
    """
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return f"'{value}"
    return value
