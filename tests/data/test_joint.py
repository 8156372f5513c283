"""Images and maps that are transformed together."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mtl_framework.data.batches import BalancedBatches
from mtl_framework.data.joint import apply_jointly
from mtl_framework.data.objectives import (
    Depth,
    MapObjective,
    MapRegression,
    Normals,
    Segmentation,
)
from mtl_framework.data.resizing import resize_map
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.data.transforms import ImageTransform
from mtl_framework.support.errors import MtlError

SIZE = 12
IMAGE = torch.arange(SIZE * SIZE, dtype=torch.uint8).view(1, 1, SIZE, SIZE)
SEEDS = torch.arange(6)


def jointly(entries: list[Any], objective: MapObjective, target: Tensor) -> tuple[Tensor, Tensor]:
    """Six copies of an image and its map, each by its own seed."""
    transform = ImageTransform.from_config(entries)
    images = IMAGE.expand(6, -1, -1, -1)
    targets = target.expand(6, *target.shape)
    found, maps = apply_jointly(transform, images, SEEDS, {0: (objective, targets)})
    assert torch.equal(found, transform.apply(images, SEEDS))  # as without maps
    return found, maps[0]


@pytest.mark.parametrize(
    "entries",
    [
        ["RandomHorizontalFlip", "RandomVerticalFlip"],
        [{"name": "RandomCrop", "size": SIZE, "padding": 4}, "RandomHorizontalFlip"],
        [{"name": "ColorJitter", "brightness": 0.5}, "RandomHorizontalFlip"],
    ],
)
def test_classes_stay_with_their_pixels(entries: list[Any]) -> None:
    target = IMAGE[0, 0] + 1  # every pixel its own class
    images, maps = jointly(entries, Segmentation(150, ignored=255), target)
    known = maps != 255
    if "ColorJitter" not in str(entries):
        assert torch.equal(maps[known], images[:, 0][known] + 1)
    if "padding" in str(entries):
        assert bool((~known).any())
        assert not images[:, 0][~known].any()
    else:
        assert bool(known.all())
    assert len({row.numpy().tobytes() for row in maps}) > 1


def test_mirrored_normals_point_to_the_other_side() -> None:
    target = torch.tensor([0.6, 0.48, 0.64]).view(3, 1, 1).expand(3, SIZE, SIZE).clone()
    target[:, :, 0] = 0  # unknown on the left
    flips = [{"name": "RandomHorizontalFlip", "p": 1.0}, {"name": "RandomVerticalFlip", "p": 1.0}]
    for steps, sign in ((flips[:1], (-1, 1)), (flips[1:], (1, -1)), (flips, (-1, -1))):
        maps = jointly(steps, Normals(), target)[1]
        side = -1 if sign[0] < 0 else 0
        assert not maps[..., side].any()
        expected = torch.tensor([0.6 * sign[0], 0.48 * sign[1], 0.64])
        torch.testing.assert_close(maps[0, :, 5, 5], expected)


def test_depth_is_divided_where_the_image_is_enlarged() -> None:
    target = torch.full((SIZE, SIZE), 6.0)
    crop = {"name": "RandomResizedCrop", "size": SIZE, "scale": [0.25, 0.25], "ratio": [1, 1]}
    maps = jointly([crop], Depth(), target)[1]
    torch.testing.assert_close(maps, torch.full_like(maps, 3.0), rtol=0.1, atol=0)  # 6 of 12 pixels
    bounds = maps.amin((1, 2)), maps.amax((1, 2))
    torch.testing.assert_close(*bounds)  # one zoom an image
    resized = jointly([{"name": "Resize", "size": [24, 24]}], Depth(), target)[1]
    assert resized.shape == (6, 24, 24)
    torch.testing.assert_close(resized, torch.full_like(resized, 3.0))


def test_numbers_are_averaged_and_labels_are_not() -> None:
    """Columns 1, 2, 3, 5 become two: the weights of the first are 3, 3, 1 and 0 of 7."""
    row = torch.tensor([1.0, 2, 3, 5])
    target = row.expand(4, 4).clone()
    halved = resize_map(target, (4, 2), Depth())
    expected = torch.tensor([(3 + 6 + 3) / 7, (2 + 9 + 15) / 7])
    torch.testing.assert_close(halved, expected.expand(4, 2))
    target[:, 1] = 0  # no label: the mean is over the others, where the nearest one is known
    torch.testing.assert_close(
        resize_map(target, (4, 8), Depth())[0],
        torch.tensor([1.0, 1.0, 0, 0, 3, 3.5, 4.5, 5]),
    )
    assert resize_map(target, (4, 2), Depth())[0].tolist() == [0, pytest.approx(4)]
    classes = torch.tensor([[0, 1, 2, 255]])
    assert resize_map(classes, (1, 8), Segmentation(3)).tolist() == [[0, 0, 1, 1, 2, 2, 255, 255]]
    assert resize_map(classes, (1, 2), Segmentation(3)).tolist() == [[1, 255]]
    plain = torch.rand(3, 7, 9)
    for size in ((14, 5), (3, 20), (7, 9)):
        ours = resize_map(plain + 1, size, MapRegression(3))
        other = F.interpolate((plain + 1)[None], size=size, mode="bilinear", antialias=True)[0]
        torch.testing.assert_close(ours, other)


def test_averaged_normals_have_length_one() -> None:
    target = torch.zeros(3, 2, 2)
    target[0, :, 0] = 2  # to the right, of any length
    target[2, :, 1] = 1  # towards the camera
    found = resize_map(target, (2, 4), Normals())[:, 0]
    torch.testing.assert_close(found.norm(dim=0), torch.ones(4))
    quarter = torch.tensor([3.0, 0, 1]) / 10**0.5
    torch.testing.assert_close(found[:, 1], quarter)
    torch.testing.assert_close(found[:, 2], quarter.flip(0))


def test_maps_follow_images_through_crops_that_are_mirrored_and_resized() -> None:
    """A slope, as picture and as map, stays the same slope to rounding of pixels."""
    slope = torch.arange(SIZE, dtype=torch.float32).expand(SIZE, SIZE) * 20 + 5
    entries = [
        {"name": "RandomHorizontalFlip", "p": 0.5},
        {"name": "RandomResizedCrop", "size": 9, "scale": [0.3, 0.6]},
        {"name": "RandomHorizontalFlip", "p": 0.5},
    ]
    transform = ImageTransform.from_config(entries)
    images = slope.to(torch.uint8)[None, None].expand(6, -1, -1, -1)
    maps = {0: (MapRegression(1), slope.expand(6, 1, -1, -1))}
    found, moved = apply_jointly(transform, images, SEEDS, maps)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(moved[0][inner], found.float()[inner], rtol=0, atol=0.75)


def suite(transform: ImageTransform) -> Suite:
    images = torch.randint(0, 256, (8, 1, SIZE, SIZE), dtype=torch.uint8)
    targets = images[:, 0].clamp(max=249)
    kinds: list[tuple[str, Tensor, MapObjective]] = [
        ("seg", targets, Segmentation(250)),
        ("depth", targets.float() + 1, Depth()),
    ]
    tasks = [
        Task(
            name,
            objective,
            Examples(images, target, transform=transform),
            Examples(images, target),
        )
        for name, target, objective in kinds
    ]
    return Suite("maps", tasks, common_input=False)


@pytest.mark.parametrize("streamed", [True, False])
def test_batches_have_maps_that_fit_their_images(streamed: bool) -> None:
    flip = ImageTransform.from_config(["RandomHorizontalFlip"])
    batches = BalancedBatches(suite(flip), 4, 0, torch.device("cpu"), streamed=streamed)
    for _ in range(3):
        batch = batches.next()
        for inputs, targets, more in zip(batch.inputs, batch.targets, (0, 1), strict=True):
            seen = (inputs[:, 0] * 255).round().clamp(max=249) + more
            assert torch.equal(seen, targets.float())


def test_transforms_that_cannot_move_maps_are_refused() -> None:
    with pytest.raises(MtlError, match="task 'seg', train split: transform RandomRotation cannot"):
        suite(ImageTransform.from_config([{"name": "RandomRotation", "degrees": 5}]))
    images, targets = torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, 8, 8).long()
    flip = ImageTransform.from_config(["RandomHorizontalFlip"])
    plain, moved = Examples(images, targets), Examples(images, targets, transform=flip)
    with pytest.raises(MtlError, match="should have their height and width"):
        Task("seg", Segmentation(3), moved, plain)
    with pytest.raises(MtlError, match="test split: images of maps are transformed in training"):
        Task("seg", Segmentation(3), plain, moved)
