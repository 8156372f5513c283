"""Tasks with maps, and batches of them, for the tests."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_framework.data.batches import Batch
from mtl_framework.data.head_choice import HeadChoice
from mtl_framework.data.objectives import Classification, Objective
from mtl_framework.data.objectives.maps.binary_map import BinaryMap
from mtl_framework.data.objectives.maps.depth import Depth
from mtl_framework.data.objectives.maps.normals import Normals
from mtl_framework.data.objectives.maps.segmentation import Segmentation
from mtl_framework.data.tasks import Examples, Task
from mtl_framework.networks.decoders.choices import fpn

KINDS: dict[str, Objective] = {
    "segmentation": Segmentation(4),
    "depth": Depth(),
    "normals": Normals(),
    "edges": BinaryMap(3.0),
    "count": Classification(3),
}


def targets_of(kind: str, rows: int, size: int, seed: int) -> Tensor:
    """Random targets with some pixels unknown."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, size, size)
    unknown = torch.rand(shape, generator=generator) < 0.2
    if kind == "segmentation":
        return torch.randint(4, shape, generator=generator).masked_fill(unknown, 255)
    if kind == "depth":
        return (1 + torch.rand(shape, generator=generator).double()).masked_fill(unknown, 0)
    if kind == "normals":
        vectors = torch.randn(rows, 3, size, size, generator=generator).double()
        return vectors.masked_fill(unknown[:, None], 0)
    if kind == "edges":
        return torch.randint(2, shape, generator=generator).masked_fill(unknown, 255)
    return torch.arange(rows) % 3


def dense_tasks(
    kinds: Sequence[str] = ("segmentation", "depth", "count"),
    size: int = 64,
    rows: int = 4,
    head: HeadChoice | None = None,
) -> list[Task]:
    """A task of every kind on common random images; heads are narrow unless one is given."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(rows, 3, size, size, generator=generator)
    head = head or HeadChoice("fpn", fpn, {"width": 16})
    return [
        Task(
            kind,
            KINDS[kind],
            Examples(images, targets_of(kind, rows, size, n)),
            Examples(images, targets_of(kind, rows, size, n)),
            head=head if KINDS[kind].is_map else None,
        )
        for n, kind in enumerate(kinds)
    ]


def dense_batch(tasks: Sequence[Task], rows: int = 4, common_input: bool = False) -> Batch:
    """Random images and targets in float64."""
    generator = torch.Generator().manual_seed(5)
    size = tasks[0].train.inputs.shape[-1]
    inputs = [
        torch.randn(rows, 3, size, size, generator=generator, dtype=torch.float64) for _ in tasks
    ]
    if common_input:
        inputs = [inputs[0]] * len(tasks)
    targets = [targets_of(task.name.split()[0], rows, size, 10 + n) for n, task in enumerate(tasks)]
    return Batch(tuple(inputs), tuple(targets), common_input)
