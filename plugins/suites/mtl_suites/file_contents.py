"""Digests stand for the bytes and the pixels of files, each of which is read once."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

_SIZE = 16  # number of bytes of a digest that are kept


class FileContents:
    """This class keeps digests of files while a suite is built.

    Attributes:
        pixels: digests of the pictures in files that were read, whatever their format.
    """

    def __init__(self) -> None:
        self._known: dict[Path, bytes | None] = {}
        self.pixels: dict[Path, bytes] = {}

    def add_pixels(self, path: Path, picture: UInt8[Tensor, "channels height width"]) -> None:
        """Keep the digest of a file's picture, which is as large as it is in the file."""
        content = hashlib.blake2b(np.ascontiguousarray(picture.numpy()).data, digest_size=_SIZE)
        content.update(repr(tuple(picture.shape)).encode())
        self.pixels[path] = content.digest()

    def picture(self, path: Path) -> bytes | None:
        """Return the digest of a file's picture, or of its bytes if no picture was read of it."""
        return self.pixels.get(path) or self.digest(path)

    def digest(self, path: Path) -> bytes | None:
        """Return the digest of a file's bytes, or ``None`` if the file cannot be read."""
        if path not in self._known:
            self._known[path] = _digest(path)
        return self._known[path]

    def described(self, paths: Sequence[Path], whole: bool) -> list[str]:
        """Return a short text for every file, which changes when the file does.

        Args:
            paths: paths of the files.
            whole: whether texts are digests of all bytes; otherwise they are sizes, which notice
                fewer changes and need no reading.
        """
        if not whole:
            return [f"{_size(path)} bytes" for path in paths]
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            found = list(threads.map(self.digest, paths))
        return ["" if digest is None else digest.hex() for digest in found]


def _digest(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "blake2b").digest()
            return whole[:_SIZE]
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # the second: a name that no file can have
        return -1
