"""The suite ``scenes``: rendered rooms, of which everything is known at every pixel."""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import (
    BinaryMap,
    Classification,
    Depth,
    Examples,
    Normals,
    Objective,
    Segmentation,
    Suite,
    Task,
)

from .scene_images import CLASSES, MOST, render

TaskName = Literal["segmentation", "depth", "normals", "edges", "count"]
TASKS: tuple[TaskName, ...] = ("segmentation", "depth", "normals", "edges", "count")
EDGE_WEIGHT = 4.0  # of pixels that are edges, of which there are few


def scenes(
    *,
    tasks: tuple[TaskName, ...] = TASKS,
    size: Literal[64, 128] = 64,
    train: int = 320,
    validation: int = 80,
    test: int = 160,
    seed: int = 0,
) -> Suite:
    """Rooms with one to four shapes, rendered: segmentation, depth, normals, edges and a count.

    A scene is a floor, a wall, and balls, boxes and cylinders, each plain or with a texture, in the
    light of one lamp. All tasks read the same images (N, 3, size, size). What is validated and
    tested with is not seen in training: other proportions of shapes, other textures, light from
    other sides. The images depend on the options only, never on a run's seed.

    ``segmentation`` has the classes floor, wall, ball, box and cylinder. ``depth`` is in metres
    along the camera's axis, about 2 to 10. ``normals`` have x to the right, y up and z towards the
    camera. ``edges`` are pixels whose right or lower neighbour is on another surface; those weigh
    four times as much in the loss. ``count`` is the number of shapes of which at least a three
    hundredth of the image is seen, a classification.

    Args:
        tasks: which of the five, in this order.
        size: height and width of the images.
        train: number of training scenes.
        validation: number of validation scenes.
        test: number of test scenes.
        seed: seed of the drawing of scenes.

    Raises:
        MtlError: if a number is below 8 or above 20000, or a task is named twice.
    """
    sizes = {"train": train, "validation": validation, "test": test}
    for split, number in sizes.items():
        if not 8 <= number <= 20000:
            raise MtlError(f"{split} should be from 8 to 20000, found {number}")
    if not tasks or len(set(tasks)) != len(tasks):
        raise MtlError(f"tasks should be different ones of {', '.join(TASKS)}, found {tasks}")
    splits = {split: _examples(split, number, size, seed) for split, number in sizes.items()}
    objectives = _objectives()
    return Suite(
        "scenes",
        [
            Task(
                name,
                objectives[name],
                splits["train"][name],
                splits["test"][name],
                splits["validation"][name],
            )
            for name in tasks
        ],
        common_input=True,
    )


def _objectives() -> dict[str, Objective]:
    return {
        "segmentation": Segmentation(len(CLASSES), CLASSES),
        "depth": Depth(),
        "normals": Normals(),
        "edges": BinaryMap(EDGE_WEIGHT),
        "count": Classification(MOST + 1, tuple(map(str, range(MOST + 1)))),
    }


_kept = lru_cache(maxsize=8)(render)  # a comparison asks once a cell; not to be written to


def _examples(split: str, number: int, size: int, seed: int) -> dict[str, Examples]:
    """Examples of a split by task, all with the same images."""
    small = number * size**2 <= 2_000_000  # 42 MB
    made = _kept(split, number, size, seed) if small else render(split, number, size, seed)
    own = torch.tensor if small else torch.from_numpy
    images = own(made.images)
    targets: dict[str, Tensor] = {
        "segmentation": own(made.classes),
        "depth": own(made.depth),
        "normals": own(made.normals),
        "edges": own(made.edges),
        "count": own(made.count),
    }
    return {name: Examples(images, target) for name, target in targets.items()}
