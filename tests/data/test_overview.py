"""What is said of a suite's data, in numbers."""

import pytest
import torch

from mtl_framework.data import Depth, MultiLabel, Segmentation
from mtl_framework.data.overview import in_short, overview
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.support.errors import MtlError


def test_unknown_pixels_are_no_part_of_the_range() -> None:
    images = torch.zeros(2, 3, 2, 2)
    classes = torch.tensor([[[0, 255], [2, 1]], [[255, 255], [0, 2]]], dtype=torch.uint8)
    depth = torch.tensor([[[0.0, 1.5], [2.0, 4.0]]] * 2)
    suite = Suite(
        "s",
        [
            Task("what", Segmentation(3), Examples(images, classes), Examples(images, classes)),
            Task("far", Depth(), Examples(images, depth), Examples(images, depth)),
        ],
        common_input=True,
    )
    what, far = overview(suite)
    assert (what.kind, what.labels) == ("segmentation", "from 0 to 2, 62.5 % of the pixels known")
    assert (far.kind, far.labels) == ("depth", "from 1.5 to 4, 75 % of the pixels known")
    assert in_short(suite, most=1).endswith("; and 1 more task")


def test_weights_and_names_that_mean_nothing_are_refused() -> None:
    with pytest.raises(MtlError, match="class_weights should not all be 0"):
        Segmentation(2, class_weights=(0.0, 0.0))
    with pytest.raises(MtlError, match="class_weights should be a number of at least 0, found inf"):
        Segmentation(2, class_weights=(float("inf"), 1.0))
    with pytest.raises(MtlError, match=r"label_names should all be different, found \['a', 'a'\]"):
        MultiLabel(2, ("a", "a"))
