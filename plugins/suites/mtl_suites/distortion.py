"""Random distortions make many different images of one picture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage


@dataclass(frozen=True)
class Distortion:
    """A distortion has ranges from which every image draws its own values, uniformly.

    Args:
        rotation: largest angle to either side, in degrees.
        shear: largest horizontal shift of a row, as a part of its distance from the middle.
        scale: smallest and largest factor, drawn for width and height separately.
        shift: largest move in each direction, as a part of the image's side.
        blur: smallest and largest standard deviation of a Gaussian, in pixels of the result.
        ink: smallest and largest brightness of the strokes above the ground, of 1.
        ground: largest brightness of the ground, of 1.
        noise: largest standard deviation of the noise added to every pixel, of 1.
    """

    rotation: float
    shear: float
    scale: tuple[float, float]
    shift: float
    blur: tuple[float, float]
    ink: tuple[float, float]
    ground: float
    noise: float

    def apply(
        self, picture: UInt8[np.ndarray, "side side"], size: int, random: np.random.RandomState
    ) -> UInt8[np.ndarray, "{size} {size}"]:
        """Return a distorted image of a square picture, ``size`` pixels wide and high.

        ``random`` is a ``RandomState`` because numpy promises that its sequence never changes, so
        that every machine and version makes the same images.
        """
        side = len(picture)
        angle = np.deg2rad(random.uniform(-self.rotation, self.rotation))
        shear = random.uniform(-self.shear, self.shear)
        scale = random.uniform(*self.scale, size=2)
        shift = random.uniform(-self.shift, self.shift, size=2)
        blur = random.uniform(*self.blur)
        ink = random.uniform(*self.ink)
        ground = random.uniform(0, self.ground)
        noise = random.uniform(0, self.noise) * random.standard_normal((size, size))

        # The matrix maps a point of the image to a point of the picture, both counted from their
        # centres. With side 64 and size 28 the image has 2 * 28 points in each direction at first;
        # without distortion the point 7 right of its centre is read 7 * 64 / 56 = 8 right of the
        # picture's. Averaging 2 x 2 points afterwards keeps thin strokes from vanishing between.
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, 0], [shear, 1]])
        matrix = matrix @ np.diag(side / (2 * size) / scale)
        centre = np.array([(side - 1) / 2, (side - 1) / 2])
        middle = np.array([(2 * size - 1) / 2, (2 * size - 1) / 2]) + shift * 2 * size
        fine = ndimage.affine_transform(
            picture.astype(np.float64) / 255,
            matrix,
            centre - matrix @ middle,
            output_shape=(2 * size, 2 * size),
            order=1,
        )
        image = fine.reshape(size, 2, size, 2).mean((1, 3))
        image = ground + ink * ndimage.gaussian_filter(image, blur) + noise
        return np.asarray(np.rint(image.clip(0, 1) * 255), np.uint8)
