"""Results become data frames, for those who have pandas."""

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import MtlError


def data_frame(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Make a pandas data frame of rows that all have the same keys.

    Raises:
        MtlError: if pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MtlError("data frames need pandas: pip install 'mtl-framework[pandas]'") from error
    return pandas.DataFrame(list(rows))
