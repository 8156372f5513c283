"""Readers yield a sequence of rows for each task, or for all tasks with a common input."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from ..support.errors import MtlError
from .mixing import Mixing
from .samplers import Order, Part, PartOrder, ShuffledOrder, StreamOrder
from .tasks import Examples, Suite


@dataclass(frozen=True)
class Reader:
    """A reader is one sequence of inputs, and the tasks that read it.

    Args:
        name: name of the task, or ``common input``.
        tasks: positions of the tasks that read it.
        data: the examples.
        rows: numbers of the examples that are read.
        size: number of examples in a batch.
        mixing: mixup and cutmix; ``None``: neither.
    """

    name: str
    tasks: Sequence[int]
    data: Examples
    rows: Int64[Tensor, " rows"]
    size: int
    mixing: Mixing | None = None

    def order(self, seed: int, part: Part | None = None) -> Order:
        """Return the order of the rows, at its beginning.

        Args:
            seed: decides the order.
            part: the part of every batch that is read; default: all of it.

        Raises:
            MtlError: if batches cannot be divided so.
        """
        divided = part is not None and part.count > 1
        if self.data.streams is not None:
            if divided:
                raise MtlError(
                    f"{self.name!r} is read as streams, whose networks carry a state from batch to "
                    "batch: such a suite is trained by one process"
                )
            return StreamOrder(len(self.data), self.data.streams)
        transformed = self.data.transform is not None or self.mixing is not None
        order = ShuffledOrder(self.rows, self.size, seed_of(seed, self.name), transformed)
        if part is None or not divided:
            return order
        if self.size % part.count:
            raise MtlError(
                f"batch_size {self.size} of {self.name!r} cannot be divided among {part.count} "
                f"processes: it is for all of them together, and should be a multiple of "
                f"{part.count}"
            )
        return PartOrder(order, part)


def readers(suite: Suite, batch_size: int) -> list[Reader]:
    """Return the sequences from which the batches of a suite are read.

    Raises:
        MtlError: if tasks with a common input differ in their batch sizes.
    """
    sizes = [task.train.streams or task.batch_size or batch_size for task in suite.tasks]
    if not suite.common_input:
        return [
            Reader(task.name, [number], task.train, labelled_rows([task.train]), size, task.mixing)
            for number, (task, size) in enumerate(zip(suite.tasks, sizes, strict=True))
        ]
    first = suite.tasks[0]
    for task, size in zip(suite.tasks, sizes, strict=True):
        if size != sizes[0]:
            raise MtlError(
                f"suite {suite.name!r} has a common input, but batch_size is {sizes[0]} for task "
                f"{first.name!r} and {size} for task {task.name!r}; give all tasks one"
            )
    rows = labelled_rows([task.train for task in suite.tasks])
    return [Reader("common input", range(len(suite)), first.train, rows, sizes[0], first.mixing)]


def batches_per_epoch(suite: Suite, batch_size: int) -> int:
    """Return the number of batches in which the largest task's labelled examples are read once.

    Examples without a label are not counted; with a common input, those without one for any task.

    Args:
        suite: the suite whose training examples are read.
        batch_size: examples of a task in a batch, where the task does not set its own.
    """
    return max(-(-len(reader.rows) // reader.size) for reader in readers(suite, batch_size))


def labelled_rows(data: Sequence[Examples]) -> Int64[Tensor, " rows"]:
    """Return the rows that have a label in any of ``data``, which hold the same inputs."""
    masks = [examples.labelled for examples in data if examples.labelled is not None]
    if len(masks) < len(data):
        return torch.arange(len(data[0]))
    return torch.stack(masks).any(0).nonzero()[:, 0]


def seed_of(seed: int, name: str) -> int:
    """Derive a seed below 2^56 from a seed and a name."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
