"""Figures of metrics are written with as many decimals as their unit deserves."""

import math

_DIGITS = 4  # that count, of figures that are no shares and no angles


def decimals(value: float, label: str) -> int:
    """Return a value's number of decimals: 2 for shares and angles, else for 4 significant digits.

    So 87.5 % is 87.50, an R² of 0.98712 is 0.9871, and a price of 114493.2 is 114493.20.

    Args:
        value: the value, in the metric's unit.
        label: the metric's label, which ends with its unit.
    """
    if label.endswith(("%", "°")) or not value or not math.isfinite(value):
        return 2
    return min(max(2, _DIGITS - 1 - math.floor(math.log10(abs(value)))), 12)


def shown_value(value: float | None, label: str) -> str:
    """Return a metric's value as text, or a dash if it is not defined."""
    return "–" if value is None else f"{value:.{decimals(value, label)}f}"
