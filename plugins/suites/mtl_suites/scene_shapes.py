"""Rays meet shapes: planes, ellipsoids, boxes and cylinders, for many images at once.

World coordinates are x to the right, y up, z away from the camera, in metres. The first axis of
every array is the image. Origins and centres are (images, 3); directions of rays are (images, 3,
pixels), scaled so that the point at depth d is origin + d * direction; angles are (images), in
radians.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FAR = 1e6  # depth where nothing is met


@dataclass(frozen=True)
class Hits:
    """This class says where rays meet a shape.

    Args:
        depth: depth of the point that a ray meets (images, pixels); ``FAR`` if it passes by.
        normal: vector of length 1 that points outwards there (images, 3, pixels).
        point: the point in the shape's own coordinates (images, 3, pixels), for textures.
        face: number of the shape's face there (images, pixels); edges are where it changes.
    """

    depth: Floats
    normal: Floats
    point: Floats
    face: NDArray[np.int64]


def turned(vectors: Floats, angle: Floats) -> Floats:
    """Turn vectors (images, 3, ...) about the y axis by an angle for each image.

    By a quarter of a turn z becomes x, and x becomes -z.
    """
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    return np.stack([cos * x + sin * z, y, cos * z - sin * x], 1)


def plane(origin: Floats, direction: Floats, normal: Floats, distance: Floats) -> Hits:
    """Return where rays meet a plane, whose points x satisfy n . x = distance.

    Args:
        origin: place of the camera (images, 3).
        direction: directions of the rays (images, 3, pixels).
        normal: the vector n, towards the camera (images, 3).
        distance: the plane's distance from the origin of coordinates, along n (images).
    """
    along = np.einsum("nc,ncp->np", normal, direction)
    ahead = distance - (normal * origin).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(along < -1e-9, ahead[:, None] / along, FAR)
    depth = np.where(depth > 0, depth, FAR)
    point = origin[:, :, None] + depth[:, None] * direction
    normals = np.broadcast_to(normal[:, :, None], direction.shape)
    return Hits(depth, normals, point, np.zeros(depth.shape, np.int64))


def _local(
    origin: Floats, direction: Floats, centre: Floats, angle: Floats
) -> tuple[Floats, Floats]:
    """Return camera and rays in the coordinates of a shape that is turned by ``angle``."""
    start = turned((origin - centre)[:, :, None], -angle)
    return start, turned(direction, -angle)


def _nearer(a: Floats, half_b: Floats, c: Floats) -> Floats:
    """Return the smaller root t of a t^2 + 2 half_b t + c, or ``FAR`` if it is not above 0."""
    inside = half_b**2 - a * c
    depth = (-half_b - np.sqrt(np.maximum(inside, 0))) / np.maximum(a, 1e-12)
    return np.where((inside > 0) & (depth > 0), depth, FAR)


def ellipsoid(
    origin: Floats, direction: Floats, centre: Floats, half: Floats, angle: Floats
) -> Hits:
    """Return where rays meet an ellipsoid with half axes ``half`` (images, 3)."""
    start, ray = _local(origin, direction, centre, angle)
    scale = half[:, :, None]
    s, r = start / scale, ray / scale
    depth = _nearer((r * r).sum(1), (s * r).sum(1), (s * s).sum(1) - 1)
    point = start + depth[:, None] * ray
    outwards = point / scale**2
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-12)
    return Hits(depth, turned(outwards, angle), point, np.zeros(depth.shape, np.int64))


def box(origin: Floats, direction: Floats, centre: Floats, half: Floats, angle: Floats) -> Hits:
    """Return where rays meet a box with half edges ``half`` (images, 3).

    A ray is inside the box while it is between both faces of each axis: from the last of the three
    places where it enters to the first where it leaves. If it enters at depths 2, 3 and 1 and
    leaves at 5, 4 and 6, it meets the box at depth 3, on a face of axis 1.
    """
    start, ray = _local(origin, direction, centre, angle)
    scale = half[:, :, None]
    safe = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
    one, two = (-scale - start) / safe, (scale - start) / safe
    enter, leave = np.minimum(one, two), np.maximum(one, two)
    depth, last = enter.max(1), leave.min(1)
    axis = enter.argmax(1)
    depth = np.where((depth < last) & (depth > 0), depth, FAR)
    sign = -np.sign(np.take_along_axis(ray, axis[:, None], 1))[:, 0]
    normal = np.zeros_like(ray)
    np.put_along_axis(normal, axis[:, None], sign[:, None], 1)
    point = start + depth[:, None] * ray
    return Hits(depth, turned(normal, angle), point, 2 * axis + (sign > 0))


def cylinder(
    origin: Floats, direction: Floats, centre: Floats, half: Floats, angle: Floats
) -> Hits:
    """Return where rays meet an upright cylinder.

    Its radius is ``half[:, 0]`` and its half height ``half[:, 1]``; it has a lid, but no bottom,
    which no camera sees.
    """
    start, ray = _local(origin, direction, centre, angle)
    radius, height = half[:, :1], half[:, 1:2]
    a = ray[:, 0] ** 2 + ray[:, 2] ** 2
    b = start[:, 0] * ray[:, 0] + start[:, 2] * ray[:, 2]
    c = start[:, 0] ** 2 + start[:, 2] ** 2 - radius**2
    side = _nearer(a, b, c)
    side = np.where(np.abs(start[:, 1] + side * ray[:, 1]) <= height, side, FAR)
    lid = (height - start[:, 1]) / np.where(np.abs(ray[:, 1]) < 1e-9, 1e-9, ray[:, 1])
    x, z = start[:, 0] + lid * ray[:, 0], start[:, 2] + lid * ray[:, 2]
    lid = np.where((lid > 0) & (x**2 + z**2 <= radius**2), lid, FAR)
    depth = np.minimum(side, lid)
    on_lid = lid < side
    point = start + depth[:, None] * ray
    normal = (
        np.stack([point[:, 0] / radius, np.zeros_like(depth), point[:, 2] / radius], 1)
        * ~on_lid[:, None]
    )
    normal[:, 1] = on_lid
    return Hits(depth, turned(normal, angle), point, on_lid.astype(np.int64))
