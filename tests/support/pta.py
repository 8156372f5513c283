"""Pseudo-task augmentation on small dense networks, for the tests of it."""

from typing import Any

import torch
from mtl_pta.config import PtaConfig
from mtl_pta.strategy import PseudoTaskAugmentation
from torch import Tensor

from mtl_framework.data.batches import Batch
from mtl_framework.data.tasks import Suite, Task
from support.dense import binary_suite, dense_backbone
from support.makers import make_batch


def suite(tasks: int = 2, validation: bool = True) -> Suite:
    """Tasks of two classes, with validation examples."""
    found = []
    for task in binary_suite(tasks).tasks:
        held_out = task.train if validation else None
        found.append(Task(task.name, task.objective, task.train, task.test, held_out))
    return Suite("binary", found)


def batch(tasks: int = 2, seed: int = 0) -> Batch:
    inputs = make_batch(binary_suite(tasks).tasks, 5, seed).inputs
    generator = torch.Generator().manual_seed(seed)
    targets = [torch.randint(0, 2, (len(x),), generator=generator) for x in inputs]
    return Batch(inputs, tuple(targets))


def build(tasks: int = 2, seed: int = 0, **options: Any) -> PseudoTaskAugmentation:
    torch.manual_seed(seed)
    strategy = PseudoTaskAugmentation(PtaConfig(**options), seed=7)
    strategy.build(dense_backbone(norm=True), suite(tasks)).double()
    return strategy


def layers(strategy: PseudoTaskAugmentation, task: int = 0) -> list[dict[str, Tensor]]:
    """Copies of every decoder's weights."""
    found = strategy.network.decoders(task).layers
    return [{k: v.clone() for k, v in layer.state_dict().items()} for layer in found]
