"""Cells of CSV files that people open in spreadsheets."""

from typing import TypeVar

Cell = TypeVar("Cell")


def csv_cell(value: Cell) -> Cell | str:
    """Give a cell that no spreadsheet takes for a formula: a text like one gets a ``'`` before it.

    Args:
        value: a text that is changed where it begins with ``=``, ``+``, ``-``, ``@`` or a blank
            that begins a line; numbers and all else stay as they are.
    """
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return f"'{value}"
    return value
