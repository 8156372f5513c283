"""Predicted maps are written as files: values as NPY, colours as PNG."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..data.map_pictures import picture
from ..data.objectives import MapObjective
from ..support.errors import MtlError
from ..support.files import kind_of, make_folder, replacing

SUFFIXES = (".npy", ".png")


def check_free(images: Sequence[Path], folder: Path) -> None:
    """Raise an error if maps of these images would overwrite a file or each other.

    Raises:
        MtlError: naming the file that is there, or two images of one name.
    """
    first: dict[str, Path] = {}
    for image in images:
        if image.stem in first:
            raise MtlError(
                f"maps of {first[image.stem]} and {image} would both be {image.stem}.npy: predict "
                "them into different folders"
            )
        first[image.stem] = image
        for suffix in SUFFIXES:
            if kind_of(folder / f"{image.stem}{suffix}") is not None:
                raise MtlError(
                    f"{folder / f'{image.stem}{suffix}'} exists already: choose another --output"
                )


@contextmanager
def all_or_none(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; its files move to ``folder`` if the block ends without error.

    Else ``folder`` is left as it was; it goes, with those above it, where it was made here.

    Raises:
        MtlError: if a file cannot be written.
    """
    made_here = [each for each in (folder, *folder.parents) if kind_of(each) is None]
    make_folder(folder)
    try:
        with tempfile.TemporaryDirectory(
            prefix=".unfinished-", dir=folder, ignore_cleanup_errors=True
        ) as unfinished:
            yield Path(unfinished)
            for file in sorted(Path(unfinished).iterdir()):
                os.replace(file, folder / file.name)
    except BaseException as error:
        with suppress(OSError):
            for each in made_here:
                each.rmdir()  # it is empty, unless files have moved already
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise MtlError(f"cannot write maps into {folder}: {reason}") from error
        raise


def write_maps(
    objective: MapObjective, decoded: Tensor, images: Sequence[Path], folder: Path
) -> list[tuple[Path, Path]]:
    """Write ``STEM.npy`` and ``STEM.png`` for every image.

    Values are numbers of classes (H, W) as bytes or int32, distances and probabilities (H, W), or
    directions and other numbers (C, H, W) as float32.

    Args:
        objective: the objective of the task.
        decoded: predictions (rows, outputs, height, width), in the units of the targets.
        images: paths of the images, one for each row.
        folder: the folder to write into; it is made if need be.

    Raises:
        MtlError: if a file cannot be written.
    """
    make_folder(folder)
    written = []
    for values, image in zip(objective.pictures(decoded).cpu(), images, strict=True):
        paths = folder / f"{image.stem}.npy", folder / f"{image.stem}.png"
        array = values.numpy()
        if not np.issubdtype(array.dtype, np.floating):
            array = array.astype(np.uint8 if array.max() < 256 else np.int32)
        else:
            array = array.astype(np.float32)
        with replacing(paths[0]) as temp, temp.open("wb") as file:
            np.save(file, array)
        with replacing(paths[1]) as temp, temp.open("wb") as file:
            Image.fromarray(picture(objective, values)).save(file, format="PNG")
        written.append(paths)
    return written
