"""Distortions of small images."""

from typing import Any

import numpy as np
import pytest
from mtl_suites.distortion import Distortion
from mtl_suites.glyphs import draw

STILL = Distortion(0.0, 0.0, (1.0, 1.0), 0.0, (0.0, 0.0), (1.0, 1.0), 0.0, 0.0)


# -- distortion ------------------------------------------------------------------------------------


def disc(side: int, row: float, column: float, radius: float) -> np.ndarray:
    """A white disc; places and radius as parts of the side."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    return np.where(np.hypot(y - row, x - column) < radius, np.uint8(255), np.uint8(0))


def middle_of(image: np.ndarray) -> tuple[float, float]:
    """Centre of mass, as parts of the side."""
    y, x = (np.mgrid[: len(image), : len(image)] + 0.5) / len(image)
    weights = image / image.sum()
    return float((y * weights).sum()), float((x * weights).sum())


@pytest.mark.parametrize("size", [16, 28, 32])
def test_nothing_drawn_gives_the_picture_reduced(size: int) -> None:
    picture = disc(64, 0.5, 0.5, 0.3)
    image = STILL.apply(picture, size, np.random.RandomState(0)) / 255
    assert image.mean() == pytest.approx((picture / 255).mean(), abs=0.01)
    expected = disc(size * 8, 0.5, 0.5, 0.3).reshape(size, 8, size, 8).mean((1, 3)) / 255
    assert np.abs(image - expected).max() < 0.3
    np.testing.assert_allclose(image, image[::-1], atol=0.01)
    np.testing.assert_allclose(image, image[:, ::-1], atol=0.01)


@pytest.mark.parametrize(
    "change",
    [
        {"rotation": 30.0},
        {"shear": 0.3},
        {"scale": (0.7, 1.2)},
        {"shift": 0.1},
        {"blur": (0.3, 1.5)},
        {"ink": (0.4, 1.0)},
        {"ground": 0.3},
        {"noise": 0.2},
    ],
)
def test_every_range_does_something_and_is_kept(change: dict[str, Any]) -> None:
    distortion = Distortion(**{**vars(STILL), **change})
    picture = disc(64, 0.3, 0.6, 0.15)
    still = STILL.apply(picture, 28, np.random.RandomState(0))
    random = np.random.RandomState(1)
    images = [distortion.apply(picture, 28, random) for _ in range(20)]
    assert len({image.tobytes() for image in [still, *images]}) == 21
    middles = np.array([middle_of(image.astype(float)) for image in images])
    away = np.abs(middles - middle_of(still.astype(float)))
    brightest = np.array([image.max() / 255 for image in images])
    darkest = np.array([image.min() / 255 for image in images])
    match change:
        case {"rotation": _}:  # about the centre, which stays as far away as it was
            radius = np.hypot(*(middles - 0.5).T)
            np.testing.assert_allclose(radius, np.hypot(0.2, 0.1), atol=0.01)
            angles = np.rad2deg(np.arctan2(*(middles - 0.5).T) - np.arctan2(-0.2, 0.1))
            assert 15 < np.abs(angles).max() < 31
        case {"shear": limit}:  # columns move, in proportion to the distance from the middle row
            assert away[:, 0].max() < 0.01
            assert 0.1 * limit < away[:, 1].max() < 0.2 * limit + 0.01
        case {"shift": limit}:
            assert 0.06 < away.max() < limit + 0.01
        case {"scale": (low, high)}:
            factors = (middles - 0.5) / np.array([-0.2, 0.1])
            assert low - 0.05 < factors.min() < 0.9
            assert 1.0 < factors.max() < high + 0.05
        case {"ink": (low, high)}:
            assert low - 0.01 < brightest.min() < 0.6
            assert 0.8 < brightest.max() < high + 0.01
        case {"ground": limit}:
            assert 0.15 < darkest.max() < limit + 0.01
        case {"noise": limit}:
            corner = np.array([image[16:, :8].astype(float).std() / 255 for image in images])
            assert 0.03 < corner.max() < limit
        case {"blur": _}:
            assert away.max() < 0.01
            steepest = np.array([np.diff(image.astype(float)).max() for image in images])
            assert steepest.max() <= np.diff(still.astype(float)).max()
            assert steepest.min() < 0.7 * steepest.max()


def test_the_same_numbers_give_the_same_image() -> None:
    from mtl_suites.alphabets import DISTORTION

    picture = draw("R", "DejaVuSans")
    first, again = (DISTORTION.apply(picture, 28, np.random.RandomState(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    random = np.random.RandomState(3)
    images = [DISTORTION.apply(picture, 28, random) for _ in range(2)]
    np.testing.assert_array_equal(images[0], first)
    assert (images[0] != images[1]).any()
