"""Suites whose inputs and targets are the numbers of their examples."""

from collections.abc import Sequence

import torch

from mtl_framework.data.batches import BalancedBatches
from mtl_framework.data.tasks import Examples, Regression, Suite, Task

CPU = torch.device("cpu")


def numbered(sizes: Sequence[tuple[int, int | None]], common_input: bool = False) -> Suite:
    """Inputs and targets of a task are its examples' numbers."""
    tasks, first = [], None
    for place, (rows, batch_size) in enumerate(sizes):
        inputs = torch.arange(rows, dtype=torch.float32)[:, None]
        if common_input:
            inputs = first = inputs if first is None else first
        data = Examples(inputs, inputs[:, 0] + 100 * place)
        tasks.append(Task(f"task{place}", Regression(), data, data, batch_size=batch_size))
    return Suite("s", tasks, common_input)


def drawn(batches: BalancedBatches, steps: int) -> list[list[list[int]]]:
    """Numbers of the examples, by step and task."""
    return [[x[:, 0].long().tolist() for x in batches.next().inputs] for _ in range(steps)]
