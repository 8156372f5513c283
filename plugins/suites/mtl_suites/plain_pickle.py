"""Pickles of plain values, read without executing anything that they name."""

import codecs
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from mtl_framework import MtlError

# numpy's own ways to make a number and an empty array, which is filled afterwards
_SCALAR: Callable[..., Any] = cast(Any, np.float64(0).__reduce__()[0])
_ARRAY: Callable[..., Any] = cast(Any, np.empty(0).__reduce__()[0])
_PLAIN: dict[tuple[str, str], Any] = (
    {
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "defaultdict"): defaultdict,
        ("_codecs", "encode"): codecs.encode,
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
    }
    | {
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("scalar", _SCALAR), ("_reconstruct", _ARRAY))
    }
    | {
        (module, kind.__name__): kind
        for module in ("__builtin__", "builtins")
        for kind in (dict, list)
    }
)


class _PlainUnpickler(pickle.Unpickler):
    """Knows dicts, lists, tuples, sets, texts, numbers, numpy's arrays; calls nothing else."""

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
