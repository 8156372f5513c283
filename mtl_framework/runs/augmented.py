"""Augmentation of tasks' training images, as a run's config chooses it for single tasks or all."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from ..data.augmentation import AugmentationConfig
from ..data.mixing import Mixing
from ..data.policies import augmenting
from ..data.tasks import Suite, Task
from ..data.transforms import ImageTransform
from ..support.errors import MtlError, UnknownNameError
from ..support.validation import dotted
from .config import RunConfig

ALL = "all"


def with_augmentation(suite: Suite, config: RunConfig) -> Suite:
    """Apply a config's section ``augmentation`` to the training images of a suite.

    What stands at ``all`` is not applied to tasks that cannot take it, which a note says: those
    whose inputs are no uint8 images and, for mixup and cutmix, those whose targets are no classes.

    Raises:
        MtlError: naming the key that names no task, does not fit its task, or fits none where it
            stands at ``all``.
    """
    section = config.augmentation
    if not section:
        return suite
    for name in section:
        if name != ALL and name not in suite.task_names:
            raise UnknownNameError("task in augmentation", name, [*suite.task_names, ALL])
    if suite.common_input:
        tasks, notes = _common(suite, section, config.batch_size)
    else:
        tasks, notes = _each(suite, section, config.batch_size)
    changed = copy.copy(suite)
    changed.tasks, changed.notes = tuple(tasks), (*suite.notes, *notes)
    return changed


def _each(
    suite: Suite, section: dict[str, AugmentationConfig], batch_size: int
) -> tuple[list[Task], list[str]]:
    """Augment tasks that have images of their own."""
    everywhere = section.get(ALL)
    tasks, notes, done = [], [], 0
    for task in suite.tasks:
        own = section.get(task.name)
        wanted = _merged(everywhere, own)
        if wanted is None:
            tasks.append(task)
            continue
        key = dotted(("augmentation", task.name if own is not None else ALL))
        try:
            task = _augmented(task, wanted, key, batch_size)
            done += 1
        except _DoesNotFitError as error:
            if own is not None:
                raise MtlError(f"{key} of task {task.name!r}: {error}") from None
            notes.append(f"{key} does not apply to {task.name!r}: {error}")
            if error.rest is not None:
                task = error.rest
                done += 1
        tasks.append(task)
    if not done and everywhere is not None:
        raise MtlError(notes[0])
    return tasks, notes


def _common(
    suite: Suite, section: dict[str, AugmentationConfig], batch_size: int
) -> tuple[list[Task], list[str]]:
    """Augment tasks that read the same images, which need the same augmentation."""
    if set(section) != {ALL}:
        name = next(name for name in section if name != ALL)
        raise MtlError(
            f"augmentation.{name}: tasks of suite {suite.name!r} read the same images: set "
            "their augmentation at augmentation.all"
        )
    wanted, key = section[ALL], f"augmentation.{ALL}"
    try:
        first = _augmented(suite.tasks[0], wanted, key, batch_size)
        for task in suite.tasks if _mixing(wanted) else ():
            _check_mixing(task, wanted, batch_size)
            if task.train.labelled is not None:
                raise _DoesNotFitError(
                    f"task {task.name!r} has examples without a label, which cannot be mixed"
                )
    except _DoesNotFitError as error:
        raise MtlError(f"{key}: {error}") from None
    tasks = [
        dataclasses.replace(
            task,
            train=dataclasses.replace(task.train, transform=first.train.transform),
            mixing=first.mixing,
        )
        for task in suite.tasks
    ]
    return tasks, []


class _DoesNotFitError(MtlError):
    """A part of the augmentation does not fit a task; ``rest`` is the task with what does."""

    def __init__(self, message: str, rest: Task | None = None) -> None:
        super().__init__(message)
        self.rest = rest


def _augmented(task: Task, wanted: AugmentationConfig, key: str, batch_size: int) -> Task:
    images = task.train.inputs.dtype == torch.uint8 and task.train.inputs.ndim == 4
    transform = None
    if not images and _single(wanted):
        raise _DoesNotFitError(
            f"its inputs are no uint8 images but {str(task.train.inputs.dtype)[6:]} of shape "
            f"{task.train.input_shape}"
        )
    if images:
        transform = augmenting(wanted, task.train.input_shape, key)
    done = dataclasses.replace(
        task,
        train=dataclasses.replace(task.train, transform=_both(task.train.transform, transform)),
    )
    mixing = _mixing(wanted)
    if mixing is None:
        return done
    try:
        _check_mixing(task, wanted, batch_size)
    except _DoesNotFitError as error:
        raise _DoesNotFitError(str(error), done if transform is not None else None) from None
    return dataclasses.replace(done, mixing=mixing)


def _check_mixing(task: Task, wanted: AugmentationConfig, batch_size: int) -> None:
    if len(task.train.input_shape) != 3:
        raise _DoesNotFitError(
            f"mixup and cutmix need images (C, H, W), found inputs of {task.train.input_shape}"
        )
    mixing = _mixing(wanted)
    assert mixing is not None
    try:
        mixing.check(task.objective, task.batch_size or batch_size)
    except MtlError as error:
        raise _DoesNotFitError(str(error)) from None


def _mixing(wanted: AugmentationConfig) -> Mixing | None:
    if not wanted.mixup and not wanted.cutmix:
        return None
    return Mixing(wanted.mixup, wanted.cutmix, wanted.mix_probability, wanted.mix_switch)


def _single(wanted: AugmentationConfig) -> bool:
    """Say whether anything is done to single images."""
    batches = {"mixup", "cutmix", "mix_probability", "mix_switch"}
    return bool(set(_set_keys(wanted)) - batches)


def _set_keys(wanted: AugmentationConfig) -> Sequence[str]:
    plain = AugmentationConfig()
    return [
        key
        for key in AugmentationConfig.model_fields
        if getattr(wanted, key) != getattr(plain, key)
    ]


def _merged(
    everywhere: AugmentationConfig | None, own: AugmentationConfig | None
) -> AugmentationConfig | None:
    """Merge a task's own keys over those of ``all``."""
    if everywhere is None or own is None:
        return own if everywhere is None else everywhere
    values: dict[str, Any] = {**everywhere.model_dump(), **own.model_dump(exclude_unset=True)}
    return AugmentationConfig.model_validate(values)


def _both(first: ImageTransform | None, second: ImageTransform | None) -> ImageTransform | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second
