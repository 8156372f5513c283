"""The suite of rendered scenes: what is known of every pixel is right, and the same every time."""

import hashlib

import numpy as np
import pytest
import torch
from mtl_suites.scene_images import Scenes, render
from mtl_suites.scene_textures import OF_SPLIT
from mtl_suites.scenes import TASKS, scenes

from mtl_framework.support.errors import MtlError


@pytest.fixture(scope="module")
def made() -> Scenes:
    return render("train", 24, 64, 0)


def test_scenes_depend_on_the_options_only(made: Scenes) -> None:
    np.random.seed(3)
    torch.manual_seed(3)
    again = render("train", 24, 64, 0)
    for name, values in vars(made).items():
        assert np.array_equal(values, getattr(again, name)), name
    other = render("train", 8, 64, 1)
    assert not np.array_equal(other.images, made.images[:8])
    digest = hashlib.sha256(made.classes.tobytes()).hexdigest()
    assert digest == DIGEST  # the same scenes in every version


DIGEST = "90507956167fc3bf9a0567b8f95f86e1041b5df5346464c2eb3e27e14adc8fcd"


def test_what_is_known_of_pixels_agrees(made: Scenes) -> None:
    lengths = np.linalg.norm(made.normals, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    assert made.depth.min() > 1
    assert made.depth.max() < 20
    assert (made.normals[:, 2] > -0.3).all()  # what is seen is turned to the camera
    for image, classes, depth in zip(made.normals, made.classes, made.depth, strict=True):
        for flat in (0, 1):  # floor and wall are planes: one normal, and 1 / depth linear
            mask = classes == flat
            if mask.sum() < 50:
                continue
            assert np.ptp(image[:, mask], axis=1).max() < 1e-5
            rows, columns = np.nonzero(mask)
            design = np.stack([rows, columns, np.ones(len(rows))], 1)
            fit, *_ = np.linalg.lstsq(design, 1 / depth[mask].astype(float), rcond=None)
            np.testing.assert_allclose(design @ fit, 1 / depth[mask], rtol=1e-4)


def test_counts_and_edges(made: Scenes) -> None:
    assert set(np.unique(made.count)) <= {0, 1, 2, 3, 4}
    shapes = (made.classes > 1).any((1, 2))
    assert (shapes >= (made.count > 0)).all()
    boundary = made.classes[:, :, 1:] != made.classes[:, :, :-1]
    assert made.edges[:, :, :-1][boundary].all()
    assert 0.01 < made.edges.mean() < 0.2


def test_test_scenes_have_textures_that_training_has_not() -> None:
    common = set(OF_SPLIT["train"]) & set(OF_SPLIT["test"])
    assert {texture.__name__ for texture in common} == {"plain"}


def test_the_suite() -> None:
    suite = scenes(train=8, validation=8, test=8)
    assert suite.task_names == TASKS
    assert suite.common_input
    assert suite.input_shape == (3, 64, 64)
    assert [task.metric for task in suite.tasks] == [
        "mIoU %", "RMSE", "mean angle °", "max F %", "error %",
    ]  # fmt: skip
    one = scenes(tasks=("depth",), size=128, train=8, validation=8, test=8)
    assert one.tasks[0].test.targets.shape == (8, 128, 128)
    with pytest.raises(MtlError, match="train should be from 8 to 20000, found 2"):
        scenes(train=2)
    with pytest.raises(MtlError, match="different ones"):
        scenes(tasks=("depth", "depth"))
