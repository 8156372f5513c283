"""The suite ``omniglot`` has 50 alphabets, each of which is a task."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torchvision.datasets import Omniglot

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import SPLITS, Classification, Examples, Suite, Task, Transforms

from .faults import Faults
from .image_files import ImageForm
from .options import Names
from .published import obtain
from .transformed import transformed

#: Share of a character's images in every split, in the two papers that use this data as tasks.
SHARES = {
    "lws": {"train": 0.8, "validation": 0.0, "test": 0.2},
    "pta": {"train": 0.5, "validation": 0.2, "test": 0.3},
}
_ORDER_SEED = 666


def omniglot(
    *,
    data_root: str = "data",
    download: bool = False,
    split: Literal["lws", "pta"] = "lws",
    tasks: Names | None = None,
    num_tasks: int | None = None,
    size: int | None = None,
    transforms: dict[str, Any] | None = None,
) -> Suite:
    """Tell the characters of an alphabet apart, with a task for each of 50 alphabets (Omniglot).

    Inputs have shape (N, 1, 105, 105), uint8, black on white as in the files. The alphabets of both
    official halves (background first, each by name) stand in the order of numpy's
    ``RandomState(666).permutation(50)``. A character has 20 images, which are permuted by a
    generator seeded with md5 of the alphabet's name, modulo 2**32, and then divided: 16 and 4 for
    training and test (lws), or 10, 4 and 6 for training, validation and test (pta). All tasks
    together have 1,623 classes, and with lws 25,968 training and 6,492 test images.

    Sources: Prellberg and Kramer, IJCNN 2020, arXiv 2003.10159, section IV, by their published
    code; Meyerson and Miikkulainen, ICML 2018, arXiv 1803.04062, who state a fixed random split of
    50/20/30 % without saying how it is made, so that only the sizes of ``pta`` are theirs.

    Args:
        data_root: folder that holds the folder omniglot-py as torchvision lays it out, with its zip
            files.
        download: whether files that are missing are downloaded.
        split: paper whose split of the images is used: ``lws`` or ``pta``.
        tasks: names of the alphabets that are tasks, in order; default: all 50 alphabets.
        num_tasks: number of alphabets that are used, from the first on; default: all.
        size: width and height, in pixels, that images are resized to; default: their own 105.
        transforms: further transforms of images, as two lists, ``train`` and ``evaluation``, whose
            entries are names of classes of torchvision.transforms.v2, or mappings with ``name`` and
            arguments.

    Raises:
        ProblemsError: if images cannot be read; the message names all of them.
        MtlError: if files are missing or damaged, with what to do, or an alphabet is unknown.
    """
    further = Transforms.from_config(transforms, "suite.transforms")
    form = ImageForm(True, size, Transforms.from_config(None))
    alphabets = _alphabets(data_root, download)
    for name in tasks or ():
        if name not in alphabets:
            raise UnknownNameError("task of suite 'omniglot':", name, alphabets)
    if num_tasks is not None and not 1 <= num_tasks <= len(tasks or alphabets):
        limit = len(tasks or alphabets)
        raise MtlError(f"num_tasks should be from 1 to {limit}, found {num_tasks}")
    faults = Faults("omniglot", skip=False)
    built = [
        _task(alphabets[name], SHARES[split], form, faults)
        for name in list(tasks or alphabets)[:num_tasks]
    ]
    if faults.found:
        faults.stop()
    suite = Suite("omniglot", [task for task in built if task is not None])
    return transformed(suite, further)


def _alphabets(data_root: str, download: bool) -> dict[str, Path]:
    """Return the folder of every alphabet, in the order of the published code."""
    folders: list[Path] = []
    for background in (True, False):
        half = obtain(
            "Omniglot",
            lambda root, fetch, half=background: Omniglot(root, background=half, download=fetch),  # type: ignore[misc]
            data_root,
            "omniglot-py/images_background and images_evaluation, with their .zip files",
            download,
        )
        folders += _subfolders(Path(half.target_folder))
    order = np.random.RandomState(_ORDER_SEED).permutation(len(folders))
    return {folders[n].name: folders[n] for n in order}


def _task(folder: Path, shares: dict[str, float], form: ImageForm, faults: Faults) -> Task | None:
    characters = _subfolders(folder)
    digest = hashlib.md5(folder.name.encode(), usedforsecurity=False).hexdigest()
    random = np.random.RandomState(int(digest, 16) % 2**32)
    files: dict[str, list[Path]] = {split: [] for split in SPLITS}
    labels: dict[str, list[int]] = {split: [] for split in SPLITS}
    for label, character in enumerate(characters):
        images = sorted(character.glob("*.png"))
        permuted = [images[n] for n in random.permutation(len(images))]
        train = round(shares["train"] * len(images))
        ends = {"train": train, "validation": train + round(shares["validation"] * len(images))}
        begin = 0
        for split in SPLITS:
            part = permuted[begin : ends.get(split, len(images))]
            files[split] += part
            labels[split] += [label] * len(part)
            begin += len(part)
    splits = {}
    for split in SPLITS:
        if shares[split] and files[split]:
            paths = files[split]
            inputs, good = form.read(split, paths, [str(path) for path in paths], faults)
            if inputs is None or len(good) < len(paths):
                return None  # the faults are reported when all alphabets are read
            splits[split] = Examples(inputs, torch.tensor(labels[split]))
    if not {"train", "test"} <= set(splits):
        faults.add(str(folder), "holds too few images")
        return None
    objective = Classification(len(characters), tuple(c.name for c in characters))
    return Task(folder.name, objective, splits["train"], splits["test"], splits.get("validation"))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())
