"""Small suites, batches and assignments for the tests."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from mtl_framework.backbones.backbone import Backbone
from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Classification, Examples, Suite, Task


def make_tasks(
    classes: Sequence[int] = (2, 3, 5), shape: Sequence[int] = (3, 32, 32), examples: int = 8
) -> list[Task]:
    """Tasks on random images; their data is only there to be valid."""
    tasks = []
    for number, num_classes in enumerate(classes):
        data = Examples(torch.rand(examples, *shape), torch.arange(examples) % num_classes)
        tasks.append(Task(f"task{number}", Classification(num_classes), data, data))
    return tasks


def on_one_input(tasks: Sequence[Task]) -> Suite:
    """Tasks with their own training labels for the first one's inputs, to train and to test."""
    inputs = tasks[0].train.inputs
    parts = [Examples(inputs, task.train.targets) for task in tasks]
    common = [replace(t, train=part, test=part) for t, part in zip(tasks, parts, strict=True)]
    return Suite("common", common, common_input=True)


def make_batch(
    tasks: Sequence[Task],
    sizes: int | Sequence[int] = 4,
    seed: int = 0,
    common_input: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Batch:
    """Random inputs and labels."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(sizes, int):
        sizes = [sizes] * len(tasks)
    shape = tasks[0].train.inputs.shape[1:]
    inputs = [torch.randn(n, *shape, generator=generator, dtype=dtype) for n in sizes]
    if common_input:
        inputs = [inputs[0]] * len(tasks)
    targets = [
        torch.randint(task.objective.num_outputs, (n,), generator=generator)
        for task, n in zip(tasks, sizes, strict=True)
    ]
    return Batch(tuple(inputs), tuple(targets), common_input)


def make_backbone(name: str, size: int = 32, in_chans: int = 3, **options: object) -> Backbone:
    """A timm backbone for square images."""
    return build_backbone(BackboneConfig(name=name, **options), in_chans, (size, size))


def make_assignments(kind: str, samples: int, units: int, tasks: int, weights: int) -> Tensor:
    """Assignments (S, U, T) of the named kind."""
    generator = np.random.default_rng(7)
    if kind == "random":
        found = generator.integers(0, weights, (samples, units, tasks))
    elif kind == "equal":
        found = np.full((samples, units, tasks), weights - 1)
    elif kind == "repeated":  # samples that agree wholly, and in their first half
        one = generator.integers(0, weights, (units, tasks))
        found = np.repeat(one[None], samples, 0)
        found[-1, units // 2 :] = generator.integers(0, weights, (units - units // 2, tasks))
    elif kind == "different":  # no two columns of a sample share a weight
        shift = np.arange(tasks)[None, None] + np.arange(samples)[:, None, None]
        found = np.broadcast_to(shift % weights, (samples, units, tasks)).copy()
    else:
        raise ValueError(kind)
    return torch.from_numpy(found.astype(np.int64))


def stirred(network: nn.Module, amount: Callable[[str, Tensor], float]) -> None:
    """Add noise from 0 to an amount to parameters and buffers, so that none is as it starts.

    Args:
        network: the networks, in float64.
        amount: gives the amount for a name and tensor.
    """
    generator = torch.Generator().manual_seed(2)
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator, dtype=torch.float64)
            value.data += amount(name, value) * noise
