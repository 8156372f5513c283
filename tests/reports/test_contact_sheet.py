"""A contact sheet shows images with what the network should say of them."""

import io

import numpy as np
import torch
from PIL import Image

from mtl_framework.data.map_pictures import class_colours
from mtl_framework.data.objectives import Classification, Depth, Segmentation
from mtl_framework.data.tasks import Examples, Task
from mtl_framework.reports.contact_sheet import contact_sheet

IMAGES = torch.full((6, 3, 8, 8), 128, dtype=torch.uint8)


def drawn(task: Task) -> np.ndarray:
    sheet = contact_sheet(task)
    assert sheet is not None
    with Image.open(io.BytesIO(sheet)) as picture:
        return np.asarray(picture.convert("RGB"))


def has(sheet: np.ndarray, colour: np.ndarray) -> bool:
    return int((np.abs(sheet.astype(int) - colour).max(-1) <= 2).sum()) > 50


def test_maps_lie_below_their_images() -> None:
    maps = (torch.arange(64).view(1, 8, 8) % 3).repeat(6, 1, 1)
    known = torch.tensor([True, True, True, True, True, False])
    examples = Examples(IMAGES, maps, known)
    sheet = drawn(Task("parts", Segmentation(3), examples, examples))
    for colour in class_colours(3):
        assert has(sheet, colour)
    plain = Examples(IMAGES, torch.arange(6) % 2)
    assert not has(drawn(Task("plain", Classification(2), plain, plain)), class_colours(3)[0])
    assert has(sheet, np.array([128, 128, 128]))
    depth = Examples(IMAGES, torch.rand(6, 8, 8) + 1)
    assert drawn(Task("depth", Depth(), depth, depth)).shape == sheet.shape


def test_features_have_no_sheet() -> None:
    examples = Examples(torch.rand(4, 5), torch.arange(4) % 2)
    assert contact_sheet(Task("features", Classification(2), examples, examples)) is None
