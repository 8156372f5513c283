"""A pass is cut into parts that fit a memory budget."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MicroBatch:
    """Columns that run in one pass are all pairs of ``samples`` and ``tasks``, both ascending."""

    samples: tuple[int, ...]
    tasks: tuple[int, ...]


def plan_micro_batches(
    num_samples: int,
    sizes: Mapping[int, int],
    budget: int | None,
    cost: Callable[[MicroBatch], int],
    *,
    whole_samples: bool,
    whole_tasks: bool,
    split_samples: bool = True,
) -> list[MicroBatch]:
    """Group tasks, and where one task alone is too much also samples, under a budget.

    Tasks are independent given the assignment, so they are what a pass is cut by first. A
    micro-batch never mixes batch sizes. What cannot be cut further runs even if it exceeds the
    budget.

    Args:
        num_samples: number S of samples.
        sizes: number of examples of every task that takes part.
        budget: the most that a micro-batch may cost; ``None``: no limit.
        cost: gives the cost of a micro-batch, in the budget's unit; called only where there is a
            budget.
        whole_samples: whether the tasks of one sample have to stay together (pooled statistics).
        whole_tasks: whether all tasks stay together for their common root where splitting samples
            is enough.
        split_samples: whether the samples of a task may be split; False where they need each other.
    """
    samples = tuple(range(num_samples))
    by_size: dict[int, list[int]] = {}
    for task, size in sizes.items():
        by_size.setdefault(size, []).append(task)
    groups = [MicroBatch(samples, tuple(tasks)) for tasks in by_size.values()]
    whole = whole_samples or whole_tasks
    if budget is None or (whole and not split_samples):
        return groups
    micro_batches: list[MicroBatch] = []
    for group in groups:
        if whole:
            micro_batches += _split_samples(group, budget, cost)
            continue
        start = 0
        while start < len(group.tasks):
            stop = start + 1
            while stop < len(group.tasks) and (
                cost(MicroBatch(samples, group.tasks[start : stop + 1])) <= budget
            ):
                stop += 1
            micro_batch = MicroBatch(samples, group.tasks[start:stop])
            alone = split_samples and stop == start + 1
            micro_batches += _split_samples(micro_batch, budget, cost) if alone else [micro_batch]
            start = stop
    return micro_batches


def _split_samples(
    micro_batch: MicroBatch, budget: int, cost: Callable[[MicroBatch], int]
) -> list[MicroBatch]:
    if len(micro_batch.samples) == 1 or cost(micro_batch) <= budget:
        return [micro_batch]
    middle = len(micro_batch.samples) // 2
    return [
        part
        for half in (micro_batch.samples[:middle], micro_batch.samples[middle:])
        for part in _split_samples(MicroBatch(half, micro_batch.tasks), budget, cost)
    ]
