"""The suite ``two_groups`` has tasks of which it is known who should share with whom."""

import torch
from jaxtyping import Float
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Classification, Examples, Suite, Task

INPUTS = 16


def two_groups(
    *, tasks_per_group: int = 3, train_per_task: int = 24, test_per_task: int = 500, seed: int = 0
) -> Suite:
    """Classify 16 random numbers, in two groups of tasks that should share within, not between.

    A group has two directions of its own, and all of its tasks ask in which of the four quadrants
    that these span an input lies. The directions of the two groups are orthogonal, so that the
    class of an input in one group says nothing about its class in the other. The backbone
    ``two_features`` has room for the directions of one group only. So all tasks get what they need
    only by sharing within groups and not between them: alone, a task has too few examples to find
    its directions; with a task of the other group, it has no room for them. Tasks have inputs of
    their own, and as many validation as training examples.

    Args:
        tasks_per_group: number of tasks of each group, which are called ``a0``, ``a1``, ... and
            ``b0``, ``b1``, ...
        train_per_task: number of training examples of each task.
        test_per_task: number of test examples of each task.
        seed: seed of the tasks' directions and of the inputs.

    Raises:
        MtlError: if one of the first three options is below one.
    """
    given = {
        "tasks_per_group": tasks_per_group,
        "train_per_task": train_per_task,
        "test_per_task": test_per_task,
    }
    for name, number in given.items():
        if number < 1:
            raise MtlError(f"{name} should be at least 1, found {number}")
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(INPUTS, INPUTS, generator=generator)
    directions = torch.linalg.qr(square)[0]  # orthogonal columns
    tasks = []
    for group, columns in (("a", directions[:, :2]), ("b", directions[:, 2:4])):
        for number in range(tasks_per_group):
            sizes = (train_per_task, test_per_task, train_per_task)
            train, test, validation = (_draw(size, columns, generator) for size in sizes)
            tasks.append(Task(f"{group}{number}", Classification(4), train, test, validation))
    return Suite("two_groups", tasks)


def _draw(size: int, columns: Float[Tensor, "inputs 2"], generator: torch.Generator) -> Examples:
    inputs = torch.randn(size, INPUTS, generator=generator)
    positive = (inputs @ columns > 0).long()
    return Examples(inputs, 2 * positive[:, 0] + positive[:, 1])
