"""The suite ``scenes`` has rendered rooms, with exact labels for every pixel."""

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
EDGE_WEIGHT = 4.0  # weight of edge pixels in the loss, because they are few


def scenes(
    *,
    tasks: tuple[TaskName, ...] = TASKS,
    size: Literal[64, 128] = 64,
    train: int = 320,
    validation: int = 80,
    test: int = 160,
    seed: int = 0,
) -> Suite:
    """Predict segmentation, depth, normals, edges and a count in rendered rooms with shapes.

    A scene is a floor, a wall, and one to four balls, boxes and cylinders, each plain or with a
    texture, in the light of one lamp. All tasks read the same images (N, 3, size, size).
    Validation and test images have what training images do not: other proportions of shapes, other
    textures, light from other sides. The images depend on the options only, never on a run's seed.

    ``segmentation`` has the classes floor, wall, ball, box and cylinder. ``depth`` is in metres
    along the camera's axis, about 2 to 10. ``normals`` have x to the right, y up and z towards the
    camera. ``edges`` are pixels whose right or lower neighbour is on another surface; these pixels
    weigh four times as much in the loss. ``count``, a classification, is the number of shapes that
    cover at least 1/300 of the image.

    Args:
        tasks: names of the tasks, in order, out of segmentation, depth, normals, edges and count;
            default: all five.
        size: height and width of the images in pixels, 64 or 128.
        train: number of training scenes.
        validation: number of validation scenes.
        test: number of test scenes.
        seed: seed of the random choices by which scenes are made.

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


# Comparisons make the same suite for every cell; its arrays are shared and must not be written to.
_kept = lru_cache(maxsize=8)(render)


def _examples(split: str, number: int, size: int, seed: int) -> dict[str, Examples]:
    """Return the examples of a split for every task, all with the same images."""
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
