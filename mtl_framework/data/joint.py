"""Images whose targets are maps are transformed together with their maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64, Shaped, UInt8
from torch import Tensor

from ..support.seeding import untouched_generators
from .objectives import MapObjective
from .resizing import Axis, moved_map, zoom_of
from .tasks import Task
from .transforms import ImageTransform, seed_torch


@dataclass(frozen=True)
class Move:
    """A move says where the pixels of a transformed image were before.

    Args:
        down: how rows were moved.
        across: how columns were moved.
        inside: (height, width), True where a pixel comes from the image and not from an added
            border.
    """

    down: Axis
    across: Axis
    inside: Bool[Tensor, "height width"]

    def of(
        self, objective: MapObjective, target: Shaped[Tensor, "*channels old_height old_width"]
    ) -> Shaped[Tensor, "*channels height width"]:
        """Move a map of the original image along; pixels from outside the image are unknown."""
        moved = moved_map(objective, target, self.down, self.across)
        zoom = zoom_of(self.down, self.across)
        moved = objective.moved(moved, self.across.scale < 0, self.down.scale < 0, zoom)
        known = self.inside & (self.down.nearest() >= 0)[:, None].to(self.inside.device)
        known = known & (self.across.nearest() >= 0).to(self.inside.device)
        return torch.where(known, moved, torch.full_like(moved, objective.unknown))


def map_objectives(tasks: Sequence[Task]) -> dict[int, MapObjective]:
    """Return the objectives of the tasks with maps, by the task's position."""
    every = ((number, task.objective) for number, task in enumerate(tasks))
    return {number: objective for number, objective in every if isinstance(objective, MapObjective)}


def apply_jointly(
    transform: ImageTransform,
    images: UInt8[Tensor, "rows channels height width"],
    seeds: Int64[Tensor, " rows"],
    maps: Mapping[int, tuple[MapObjective, Shaped[Tensor, "rows ..."]]],
) -> tuple[UInt8[Tensor, "rows out_channels out_height out_width"], dict[int, Tensor]]:
    """Transform every image by the random numbers of its own seed, and its maps with it.

    Labels take the nearest pixel, numbers are averaged where images are resized. An image comes out
    as it does from :meth:`ImageTransform.apply`.

    Args:
        transform: steps that are fit for maps, see :func:`~.map_checks.check_maps`.
        images: uint8 images, of the same height and width as the maps.
        seeds: one seed for each image.
        maps: for each task (by position) its objective and its targets.
    """
    done: list[Tensor] = []
    moved: dict[int, list[Tensor]] = {task: [] for task in maps}
    with untouched_generators(images.device):
        for row, (image, seed) in enumerate(zip(images, seeds.tolist(), strict=True)):
            seed_torch(seed, images.device)
            result, move = _moved(transform, image)
            done.append(result)
            for task, (objective, targets) in maps.items():
                moved[task].append(move.of(objective, targets[row]))
    return torch.stack(done), {task: torch.stack(rows) for task, rows in moved.items()}


def _moved(transform: ImageTransform, image: Tensor) -> tuple[Tensor, Move]:
    """Transform an image, and a mask of ones and two corners by the same steps.

    torchvision mirrors key points as if they were numbers of pixels: with 8 columns the border at 0
    comes to 7 and should come to 8, which is corrected here.
    """
    from torchvision import tv_tensors

    size = image.shape[1:]
    ends = torch.tensor([[0.0, 0.0], [size[1], size[0]]], dtype=torch.float64)
    corners = tv_tensors.KeyPoints(ends, canvas_size=tuple(size))
    mask = tv_tensors.Mask(torch.ones(1, *size, dtype=torch.uint8, device=image.device))
    result: Tensor = tv_tensors.Image(image)
    for number in range(len(transform)):
        before = corners.as_subclass(Tensor)
        step = transform.part(number, number + 1)
        result, mask, corners = step.together(result, mask, corners)
        after = corners.as_subclass(Tensor)
        mirrored = (after[1] - after[0]).sign() != (before[1] - before[0]).sign()
        corners = tv_tensors.wrap(after + mirrored, like=corners)
    first, last = corners.as_subclass(Tensor).tolist()
    new = result.shape[1:]
    across, down = (
        Axis((last[n] - first[n]) / size[1 - n], first[n], size[1 - n], new[1 - n])
        for n in range(2)
    )
    return result.as_subclass(Tensor), Move(down, across, mask.as_subclass(Tensor)[0] > 0)
