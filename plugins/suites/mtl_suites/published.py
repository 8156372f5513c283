"""Published data sets are read by torchvision's classes, which know their files and checksums."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from mtl_framework import MtlError

Dataset = TypeVar("Dataset")


def obtain(
    name: str, make: Callable[[str, bool], Dataset], data_root: str, files: str, download: bool
) -> Dataset:
    """Make a data set from its files, which are downloaded first if the user asks for that.

    Args:
        name: name of the data set, for messages.
        make: function that makes torchvision's object, given the root folder and whether to
            download.
        data_root: folder of the data.
        files: files that should be below ``data_root``, for messages.
        download: whether missing files are downloaded; several processes wait for one another.

    Raises:
        MtlError: if files are missing or damaged, or cannot be downloaded; the message says what to
            do.
    """
    try:
        return make(data_root, False)
    except Exception as error:  # whatever a damaged file makes a parser raise
        problem = error
    wanted = f"{name} needs {files} below {data_root}"
    if not download:
        raise MtlError(
            f"{wanted}: {_reason(problem)}; say where they lie with --data-root, or have them "
            "fetched with --set suite.download=true"
        ) from problem
    try:
        Path(data_root).mkdir(parents=True, exist_ok=True)
        with FileLock(Path(data_root, ".mtl-download.lock")):
            return make(data_root, True)
    except Exception as error:  # of networks, archives, disks, missing helpers
        raise MtlError(
            f"{wanted}, and they cannot be fetched: {_reason(error)}; put them there by hand, as "
            "torchvision.datasets keeps them"
        ) from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    text = text.replace(" You can use download=True to download it", "").rstrip(".")
    return text or f"a damaged file ({type(error).__name__})"
