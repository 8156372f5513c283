"""Pickles of plain values, read without executing anything that they name."""

import codecs
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MtlError

_SCALAR: Callable[..., Any] = np.float64(0).__reduce__()[0]  # numpy's own way to make a number
_PLAIN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("_codecs", "encode"): codecs.encode,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
} | {
    (module, kind.__name__): kind for module in ("__builtin__", "builtins") for kind in (dict, list)
}


class _PlainUnpickler(pickle.Unpickler):
    """Knows dicts, lists, tuples, sets, texts and numbers, also numpy's; nothing else is called."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _PLAIN[module, name]
        except KeyError:
            what = f"it names {module}.{name}, which is no plain value"
            raise pickle.UnpicklingError(what) from None


def read_plain(file: Path) -> Any:
    """What a pickle holds, if that is plain values; texts of Python 2 are taken for Latin-1.

    Raises:
        MtlError: naming the file that is missing, damaged, or holds anything else.
    """
    try:
        with file.open("rb") as opened:
            return _PlainUnpickler(opened, encoding="latin1").load()
    except FileNotFoundError:
        raise MtlError(f"there is no file {file}") from None
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MtlError(f"{file} is no pickle of plain values: {reason}") from error
