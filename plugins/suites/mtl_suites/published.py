"""Published data sets through torchvision's classes, which know their files and checksums."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from mtl_framework import MtlError

Dataset = TypeVar("Dataset")


def obtain(
    name: str, make: Callable[[str, bool], Dataset], data_root: str, files: str, download: bool
) -> Dataset:
    """A data set from its files, fetched first where that is asked for.

    Args:
        name: of the data set, for messages.
        make: builds torchvision's class, from the root folder and whether to download.
        data_root: folder of the data.
        files: which there should be below it, for messages.
        download: fetch what is missing; several processes wait for one another.

    Raises:
        MtlError: if files are missing or damaged, or cannot be fetched; with what to do.
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
