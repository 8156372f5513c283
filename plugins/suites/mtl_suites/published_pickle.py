"""Pickles of data sets are read only if they are the published files, byte for byte.

A pickle is a program, and no list of allowed names makes a stranger's one harmless: functions that
build arrays can be made to write anywhere in memory. So a file is unpickled only if its digest is
known. A user who trusts another file can convert it once, see :mod:`.convert_pickle`.
"""

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl_framework import MtlError

from .convert_pickle import decode

#: Digests (SHA-256 or MD5) of published pickles, by file name. These are the files of CIFAR-100,
#: with the digests that torchvision compares.
PUBLISHED: dict[str, tuple[str, ...]] = {
    "train": ("16019d7e3df5f24257cddd939b257f8d",),
    "test": ("f0ef6b0ae62326f3e7ffdfab6717acfc",),
    "meta": ("7973b15100ade9c7d40fb424638fde48",),
}
_DIGESTS = {32: hashlib.md5, 64: hashlib.sha256}


def published(file: Path, known: Mapping[str, tuple[str, ...]] = PUBLISHED) -> Any:
    """Return what a published pickle holds; texts of Python 2 are decoded as Latin-1.

    Args:
        file: the pickle.
        known: digests of published files, by file name.

    Raises:
        MtlError: if the file is missing or is not the published one; the message names it, and says
            what to do.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise MtlError(f"there is no file {file}") from None
    except OSError as error:
        raise MtlError(f"cannot read {file}: {error.strerror}") from error
    digests = known.get(file.name, ())
    if not any(_DIGESTS[len(digest)](data).hexdigest() == digest for digest in digests):
        raise MtlError(
            f"{file} is a pickle, but not the published file (its checksum differs), and a pickle "
            "can execute anything; if you trust it, convert it once: "
            f"python -m mtl_suites.convert_pickle --trust {file}"
        )
    try:
        return pickle.load(io.BytesIO(data), encoding="latin1")
    except (pickle.UnpicklingError, EOFError, ValueError) as error:
        raise MtlError(f"cannot read {file}: {error}") from error


def converted(file: Path) -> Path:
    """Return the file to which ``mtl_suites.convert_pickle`` writes what a pickle holds."""
    return file.with_suffix(".json")


def published_or_converted(file: Path, known: Mapping[str, tuple[str, ...]] = PUBLISHED) -> Any:
    """Return what a pickle holds, read from its converted file if there is one.

    Args:
        file: the pickle.
        known: digests of published files, by file name.

    Raises:
        MtlError: if the converted file is damaged, or there is none and :func:`published` refuses
            the pickle.
    """
    other = converted(file)
    if not other.is_file():
        return published(file, known)
    try:
        return decode(json.loads(other.read_bytes()))
    except (OSError, ValueError, RecursionError, MtlError) as error:
        raise MtlError(f"cannot read {other}: {' '.join(str(error).split())}") from error
