"""Transforms of images whose targets are maps: both move together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor

from ..support.seeding import untouched_generators
from .objectives import MapObjective
from .tasks import Task
from .transforms import ImageTransform, seed_torch


@dataclass(frozen=True)
class Move:
    """Where the pixels of a transformed image were before.

    Args:
        source: (H, W), row * width + column of the pixel that is here now; -1: none was.
        mirrored: left and right have changed places.
        upside_down: above and below have.
        zoom: how much larger everything is than before.
    """

    source: Int64[Tensor, "height width"]
    mirrored: bool
    upside_down: bool
    zoom: float

    def of(
        self, objective: MapObjective, target: Shaped[Tensor, "*channels old_height old_width"]
    ) -> Shaped[Tensor, "*channels height width"]:
        """A map of the image as it was, for the image as it is; pixels from outside are unknown."""
        flat = target.flatten(-2)
        moved = flat.index_select(-1, self.source.clamp(min=0).flatten())
        moved = moved.unflatten(-1, tuple(self.source.shape))
        moved = objective.moved(moved, self.mirrored, self.upside_down, self.zoom)
        return torch.where(self.source < 0, torch.full_like(moved, objective.unknown), moved)


def map_objectives(tasks: Sequence[Task]) -> dict[int, MapObjective]:
    """Objectives of tasks with maps, by position."""
    every = ((number, task.objective) for number, task in enumerate(tasks))
    return {number: found for number, found in every if isinstance(found, MapObjective)}


def apply_jointly(
    transform: ImageTransform,
    images: UInt8[Tensor, "rows channels height width"],
    seeds: Int64[Tensor, " rows"],
    maps: Mapping[int, tuple[MapObjective, Shaped[Tensor, "rows ..."]]],
) -> tuple[UInt8[Tensor, "rows out_channels out_height out_width"], dict[int, Tensor]]:
    """Transform every image by the random numbers of its own seed, and its maps with it.

    Maps take the nearest pixel. An image comes out as it does from :meth:`ImageTransform.apply`.

    Args:
        transform: of transforms that are fit for maps, see :func:`~.map_checks.check_maps`.
        images: as large as the maps.
        seeds: one an image.
        maps: by task its objective and its targets.
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
    """The image transformed, and the number of every pixel sent through the same steps as a mask.

    Numbers begin at 1, so that the 0 which fills new borders is none of them.
    """
    from torchvision import tv_tensors

    height, width = image.shape[1:]
    numbers = torch.arange(1, height * width + 1, dtype=torch.float32, device=image.device)
    mask = tv_tensors.Mask(numbers.view(1, height, width))
    result, mask = transform.together(tv_tensors.Image(image), mask)
    source = mask.as_subclass(Tensor)[0].round().long() - 1
    return result.as_subclass(Tensor), _read(source, width)


def _read(source: Int64[Tensor, "height width"], width: int) -> Move:
    known = source >= 0
    columns, rows = (source % width).double(), (source // width).double()
    across = _slope(columns[:, 1:] - columns[:, :-1], known[:, 1:] & known[:, :-1])
    down = _slope(rows[1:] - rows[:-1], known[1:] & known[:-1])
    size = abs(across * down) ** 0.5
    return Move(source, across < 0, down < 0, 1 / size if size > 0 else 1.0)


def _slope(steps: Float[Tensor, "_ _"], known: Shaped[Tensor, "_ _"]) -> float:
    """Mean step of the old place from one known pixel to the next; 1 where there is none."""
    inside = steps[known]
    return float(inside.mean()) if len(inside) else 1.0
