"""One picture may be in the test split of a task and in the training split of another one.

Tasks that share weights learn from each other's examples, so such a picture is not new to the
network that is tested on it. A run prints a line on it and goes on, because it depends on the tasks
whether that matters.
"""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_framework.data import Task

from .faults import listed
from .options import counted

#: For every task and split the digest of each example's content, and what the example is called.
Contents = Mapping[str, Mapping[str, Sequence[tuple[bytes | None, str]]]]
_MOST = 5  # number of tasks that are named


def in_other_tasks(contents: Contents) -> list[str]:
    """Return a line for every task that has test examples on which other tasks are trained.

    Args:
        contents: digests and names of examples; examples without a digest have ``None``.
    """
    trained: dict[bytes, dict[str, str]] = {}
    for task, splits in contents.items():
        for digest, name in splits.get("train", ()):
            if digest is not None:
                trained.setdefault(digest, {}).setdefault(task, name)
    lines = []
    for task, splits in contents.items():
        pairs = [
            (other, name, there)
            for digest, name in splits.get("test", ())
            if digest is not None
            for other, there in list(trained.get(digest, {}).items())
            if other != task
        ]
        if pairs:
            names = list(dict.fromkeys(name for _, name, _ in pairs))
            others = list(dict.fromkeys(other for other, _, _ in pairs))
            verb = "is" if len(names) == 1 else "are"
            lines.append(
                f"{counted(len(names), 'picture')} in test of {task!r} {verb} in train of "
                f"{listed([repr(other) for other in others])}, e.g. {pairs[0][1]} and {pairs[0][2]}"
            )
    more = len(lines) - _MOST
    return [*lines[:_MOST], *([f"likewise {counted(more, 'more task')}"] if more > 0 else [])]


def digests_of(tasks: Sequence[Task]) -> Contents:
    """Return the digests of the pictures that tasks hold in memory; features are left out."""
    return {
        task.name: {
            split: [
                (_digest(row), f"row {number} of {task.name!r}")
                for number, row in enumerate(examples.inputs)
            ]
            for split, examples in task.splits().items()
            if isinstance(examples.inputs, Tensor) and examples.inputs.ndim == 4
        }
        for task in tasks
    }


def _digest(row: Tensor) -> bytes:
    flat = row.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(flat.numpy().tobytes(), digest_size=16).digest()
