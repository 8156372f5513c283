"""The suite ``two_groups``: tasks of which it is known who should share with whom."""

import torch
from jaxtyping import Float
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Classification, Examples, Suite, Task

INPUTS = 16


def two_groups(
    *, tasks_per_group: int = 3, train_per_task: int = 24, test_per_task: int = 500, seed: int = 0
) -> Suite:
    """Classifications of 16 random numbers, in two groups that contradict each other.

    A group has two directions of its own, and all of its tasks ask in which of the four quadrants
    that these span an input lies; the directions of the groups are orthogonal, so that what one
    group's tasks say about an input tells nothing about what the other's say. Heads are never
    shared, and a permutation of the classes would be no contradiction to them; with the backbone
    ``two_features`` there is room for one group's directions only, and nothing else than sharing
    within the groups and not between them gives all tasks what they need: alone, a task has too
    few examples to find its directions, and with the other group no room for them. Inputs, and so
    the examples, are the tasks' own; as many validation as training examples.

    Args:
        tasks_per_group: number of tasks of each group, ``a0``, ``a1``, ... and ``b0``, ``b1``, ...
        train_per_task: number of training examples of each task.
        test_per_task: number of test examples of each task.
        seed: seed of the tasks' directions and of the inputs.

    Raises:
        MtlError: if a number is below one.
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
