"""The suite ``celeba`` has 40 attributes of faces as tasks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torchvision.datasets import CelebA

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import Binary, Examples, LazyInputs, Suite, Task, Transforms

from .faults import Faults
from .image_files import ImageForm
from .options import Names, Together
from .published import obtain
from .together import put_together

_SPLITS = {"train": "train", "validation": "valid", "test": "test"}
_SQUARE = 178  # the width of the aligned images, which are higher


def celeba(
    *,
    data_root: str = "data",
    download: bool = False,
    tasks: Names | None = None,
    together: Together | None = None,
    size: int = 64,
    transforms: dict[str, Any] | None = None,
    check_images: bool = False,
) -> Suite:
    """Tell 40 binary attributes of a face, each of which is a task, from one image (CelebA).

    Inputs have shape (N, 3, size, size), uint8: the middle 178x178 pixels of the aligned images,
    resized. All tasks read the same image. The splits are the official ones: 162,770 images for
    training, 19,867 for validation and 19,962 for test.

    Source: Liu, Luo, Wang, Tang, Deep Learning Face Attributes in the Wild, ICCV 2015; as tasks in
    Meyerson and Miikkulainen, ICML 2018, arXiv 1803.04062.

    Args:
        data_root: folder that holds the folder celeba as torchvision lays it out.
        download: whether the files are downloaded where they are missing; needs the package gdown.
        tasks: names of the attributes that are tasks, in order; default: all 40 attributes.
        together: attributes that are one task, as a mapping from the task's name to names of
            attributes; default: every attribute is a task.
        size: width and height of the images in pixels, at most 178.
        transforms: further transforms of images, as two lists, ``train`` and ``evaluation``, whose
            entries are names of classes of torchvision.transforms.v2, or mappings with ``name`` and
            arguments.
        check_images: whether every image is read before training, so that all damaged ones are
            named at once.

    Raises:
        ProblemsError: if images cannot be read; the message names all of them.
        MtlError: if files are missing or damaged, with what to do, or an attribute is unknown.
    """
    form = _form(size, transforms, check_images)
    attributes, read = _read(data_root, download, form)
    for task in tasks or ():
        if task not in attributes:
            raise UnknownNameError("task of suite 'celeba':", task, attributes)
    built = [_task(task, attributes.index(task), read, form) for task in tasks or attributes]
    return put_together(Suite("celeba", built, common_input=True), together)


def _form(size: int, transforms: dict[str, Any] | None, check_images: bool) -> ImageForm:
    if not 1 <= size <= _SQUARE:
        raise MtlError(f"size should be from 1 to {_SQUARE}, found {size}")
    crop: list[Any] = [{"name": "CenterCrop", "size": _SQUARE}, {"name": "Resize", "size": size}]
    Transforms.from_config(
        transforms, "suite.transforms"
    )  # names what is wrong in the user's own counting
    given = transforms or {}
    both = {key: crop + list(given.get(key) or ()) for key in ("train", "evaluation")}
    return ImageForm(False, None, Transforms.from_config(both), check_images)


def _read(
    data_root: str, download: bool, form: ImageForm
) -> tuple[list[str], dict[str, tuple[Tensor, Tensor | LazyInputs]]]:
    """Return the names of the attributes, and by split their values (images, 40) and the images."""
    faults = Faults("celeba", skip=False)
    attributes: list[str] = []
    splits = {}
    for split, name in _SPLITS.items():
        found = obtain(
            "CelebA",
            lambda root, fetch, name=name: CelebA(root, split=name, download=fetch),  # type: ignore[misc]
            data_root,
            "celeba/img_align_celeba and the five .txt files beside it",
            download,
        )
        folder = Path(found.root, found.base_folder, "img_align_celeba")
        paths = [folder / file for file in found.filename]
        attributes = [attribute for attribute in found.attr_names if attribute]
        if not paths:
            raise MtlError(f"{folder.parent}: there is no image in the {split} split")
        inputs, _ = form.read(split, paths, [str(path) for path in paths], faults)
        if inputs is not None:
            splits[split] = found.attr, inputs
    if faults.found:
        faults.stop()
    return attributes, splits


def _task(
    name: str,
    column: int,
    read: Mapping[str, tuple[Tensor, Tensor | LazyInputs]],
    form: ImageForm,
) -> Task:
    examples = {
        split: Examples(inputs, targets[:, column], transform=form.transforms.of(split).rest)
        for split, (targets, inputs) in read.items()
    }
    return Task(
        name,
        Binary(),
        examples["train"],
        examples["test"],
        examples["validation"],
        normalization=form.transforms.normalization,
        image_transform=form.prediction,
    )
