"""Refuse tasks whose inputs one backbone cannot read, with what differs and what helps."""

from typing import TYPE_CHECKING

from ..support.errors import MtlError
from .examples import SPLITS

if TYPE_CHECKING:
    from .tasks import Task


def check_common_inputs(suite: str, first: "Task", task: "Task") -> None:
    """Refuse a task whose inputs have another shape or dtype than another task's training split.

    Args:
        suite: name of the suite, for the message.
        first: the task whose inputs are as they should be; the same one compares its own splits.
        task: the task whose splits are looked at.

    Raises:
        MtlError: naming the task, the split, the dimensions that differ, and a remedy.
    """
    shape, dtype = first.train.input_shape, first.train.inputs.dtype
    for split, examples in task.splits().items():
        where = f"suite {suite!r}: inputs of task {task.name!r} ({split})"
        if examples.input_shape != shape:
            raise MtlError(
                f"{where} have shape {examples.input_shape}, those of task {first.name!r} {shape}; "
                f"what one backbone reads needs one shape: {_remedy(examples.input_shape, shape)}"
            )
        if examples.inputs.dtype != dtype:
            raise MtlError(
                f"{where} are {examples.inputs.dtype}, those of task {first.name!r} {dtype}; what "
                "one backbone reads needs one dtype"
            )


def _remedy(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Say which dimension of two shapes differs, and what makes the shapes one."""
    if len(found) != len(expected):
        return f"{len(found)} against {len(expected)} dimensions, which need networks of their own"
    if len(found) != 3:
        place = next(n for n in range(len(found)) if found[n] != expected[n])
        return (
            f"dimension {place} has {found[place]} entries against {expected[place]}; give all the "
            "same number"
        )
    steps = []
    if found[0] != expected[0]:
        how = f"make the channels as many, as {found[0]} and {expected[0]} differ"
        if {found[0], expected[0]} == {1, 3}:
            how = (
                "the channels differ, 1 (grey) against 3 (RGB), so give grey images three equal "
                "channels in the data, or make all of them grey"
            )
        steps.append(how)
    if found[1:] != expected[1:]:
        sizes = " against ".join(f"{height}x{width}" for _, height, width in (found, expected))
        steps.append(f"heights and widths differ, {sizes}, so resize them alike")
    return "; ".join(steps)


def check_common_input(name: str, first: "Task", task: "Task") -> None:
    """Refuse a task that does not hold the inputs, transforms and streams of the first one.

    Raises:
        MtlError: naming the suite, both tasks and the split.
    """
    ours, theirs = task.splits(), first.splits()
    for split in SPLITS:
        if (split in ours) != (split in theirs):
            has, lacks = (task, first) if split in ours else (first, task)
            raise MtlError(
                f"suite {name!r} has a common input, but task {has.name!r} has a {split} split "
                f"and task {lacks.name!r} has none"
            )
        if split not in ours:
            continue
        if ours[split].inputs is not theirs[split].inputs:
            raise MtlError(
                f"suite {name!r} has a common input, but task {task.name!r} ({split}) "
                f"does not hold the input tensor of task {first.name!r}"
            )
        if ours[split].transform is not theirs[split].transform:
            raise MtlError(
                f"suite {name!r} has a common input, but task {task.name!r} ({split}) does "
                f"not hold the transform of task {first.name!r}"
            )
        if ours[split].streams != theirs[split].streams:
            raise MtlError(
                f"suite {name!r} has a common input, but task {task.name!r} ({split}) has "
                f"streams {ours[split].streams} and task {first.name!r} {theirs[split].streams}"
            )
