"""Refuse tasks whose inputs one backbone cannot read, with what differs and what helps."""

from collections.abc import Mapping

from ..support.errors import MtlError
from .examples import SPLITS, Examples


def check_common_inputs(
    suite: str, first: str, like: Examples, task: str, splits: Mapping[str, Examples]
) -> None:
    """Refuse a task whose inputs have another shape or dtype than another task's training split.

    Args:
        suite: name of the suite, for the message.
        first: name of the task whose inputs are as they should be, for the message.
        like: training examples of that task.
        task: name of the task that is looked at.
        splits: all examples of that task, by name of the split.

    Raises:
        MtlError: naming the task, the split, the dimensions that differ, and a remedy.
    """
    shape, dtype = like.input_shape, like.inputs.dtype
    for split, examples in splits.items():
        where = f"suite {suite!r}: inputs of task {task!r} ({split})"
        if examples.input_shape != shape:
            raise MtlError(
                f"{where} have shape {examples.input_shape}, those of task {first!r} {shape}; "
                f"what one backbone reads needs one shape: {_remedy(examples.input_shape, shape)}"
            )
        if examples.inputs.dtype != dtype:
            raise MtlError(
                f"{where} are {examples.inputs.dtype}, those of task {first!r} {dtype}; what "
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


def check_common_input(
    suite: str,
    first: str,
    theirs: Mapping[str, Examples],
    task: str,
    ours: Mapping[str, Examples],
) -> None:
    """Refuse a task that does not hold the inputs, transforms and streams of the first one.

    Args:
        suite: name of the suite, for the message.
        first: name of the first task.
        theirs: all examples of the first task, by name of the split.
        task: name of the task that is looked at.
        ours: all examples of that task.

    Raises:
        MtlError: naming the suite, both tasks and the split.
    """
    for split in SPLITS:
        if (split in ours) != (split in theirs):
            has, lacks = (task, first) if split in ours else (first, task)
            raise MtlError(
                f"suite {suite!r} has a common input, but task {has!r} has a {split} split "
                f"and task {lacks!r} has none"
            )
        if split not in ours:
            continue
        where = f"suite {suite!r} has a common input, but task {task!r} ({split})"
        own, other = ours[split], theirs[split]
        if own.inputs is not other.inputs:
            raise MtlError(f"{where} does not hold the input tensor of task {first!r}")
        if own.transform is not other.transform:
            raise MtlError(f"{where} does not hold the transform of task {first!r}")
        if own.streams != other.streams:
            raise MtlError(f"{where} has streams {own.streams} and task {first!r} {other.streams}")
