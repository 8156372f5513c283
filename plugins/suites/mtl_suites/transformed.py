"""The images of a suite that is built already may get transforms."""

from dataclasses import replace

import torch
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Examples, ImageTransform, LazyInputs, Suite, Task, Transforms

Inputs = Tensor | LazyInputs


def transformed(suite: Suite, transforms: Transforms) -> Suite:
    """Return a suite whose images have transforms, which are the same for all tasks.

    Transforms that do the same to an image every time are done here, once; the others are done when
    batches are made.

    Args:
        suite: the suite, whose inputs are uint8 images (N, C, H, W).
        transforms: transforms of training images, and those of images for evaluation.

    Raises:
        MtlError: if the suite's inputs are no uint8 images, or cannot be transformed.
    """
    if not any((transforms.train, transforms.evaluation, transforms.normalization)):
        return suite
    for task in suite.tasks:
        inputs = task.train.inputs
        if inputs.dtype != torch.uint8 or inputs.ndim != 4:
            raise MtlError(
                f"suite.transforms need uint8 images (N, C, H, W), those of task {task.name!r} are "
                f"{inputs.dtype} of shape {tuple(inputs.shape)}"
            )
    rest = {split: transforms.of(split).rest for split in ("train", "evaluation")}
    done: dict[tuple[int, str], Inputs] = {}

    def change(examples: Examples, split: str) -> Examples:
        which = "train" if split == "train" else "evaluation"
        key = id(examples.inputs), which  # a common input stays one tensor
        if key not in done:
            done[key] = _once(examples.inputs, transforms.of(split).fixed)
        return replace(examples, inputs=done[key], transform=rest[which])

    def change_all(task: Task) -> Task:
        size = list(task.train.inputs.shape[2:])  # an image in a file gets this size first
        fitted = ImageTransform.from_config([{"name": "Resize", "size": size}])
        return replace(
            task,
            train=change(task.train, "train"),
            test=change(task.test, "test"),
            validation=task.validation and change(task.validation, "validation"),
            normalization=transforms.normalization or task.normalization,
            image_transform=fitted + transforms.evaluation,
        )

    tasks = [change_all(task) for task in suite.tasks]
    return Suite(suite.name, tasks, suite.common_input, suite.notes, suite.record)


def _once(inputs: Inputs, fixed: ImageTransform) -> Inputs:
    if not len(fixed):
        return inputs
    if isinstance(inputs, LazyInputs):
        return LazyInputs(
            range(len(inputs)),
            decode=inputs.read,
            transform=fixed,
            names=[inputs.name(row) for row in range(len(inputs))],
        )
    return fixed.apply(inputs, torch.zeros(len(inputs), dtype=torch.int64))
