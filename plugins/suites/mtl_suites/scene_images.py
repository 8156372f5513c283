"""Scenes of a room with shapes in it are drawn at random, with labels for every pixel."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .scene_shapes import FAR, Floats, Hits, box, cylinder, ellipsoid, plane, turned
from .scene_textures import OF_SPLIT

CLASSES = ("floor", "wall", "ball", "box", "cylinder")
MOST = 4  # highest number of shapes in a scene
FEWEST_PIXELS = 1 / 300  # smallest share of the image in which a shape is seen if it is counted
_SHAPES = (ellipsoid, box, cylinder)
_TOGETHER = 8  # number of images that are rendered at once
# Splits differ in ratios of height and breadth to width, and in the azimuth of the light (degrees)
_RATIOS = {"train": (0.9, 1.1), "validation": (0.72, 0.84), "test": (1.25, 1.6)}
_LIGHTS = {"train": (-50.0, 30.0), "validation": (40.0, 70.0), "test": (-110.0, -65.0)}


@dataclass(frozen=True)
class Scenes:
    """This class holds images and their labels.

    Args:
        images: images (N, 3, H, W), bytes.
        classes: positions in :data:`CLASSES` (N, H, W).
        depth: metres along the camera's axis (N, H, W).
        normals: unit vectors (N, 3, H, W) with x to the right, y up, z towards the camera.
        edges: 1 at pixels whose right or lower neighbour is on another surface (N, H, W).
        count: number of shapes that are seen (N).
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    depth: NDArray[np.float32]
    normals: NDArray[np.float32]
    edges: NDArray[np.uint8]
    count: NDArray[np.int64]


def render(split: str, number: int, size: int, seed: int) -> Scenes:
    """Draw scenes of a split, which depend on the arguments only.

    Args:
        split: train, validation or test.
        number: number of scenes.
        size: height and width of the images in pixels.
        seed: seed of the random choices.
    """
    generator = np.random.Generator(np.random.PCG64([zlib.crc32(split.encode()), seed]))
    parts = [
        _render(split, min(_TOGETHER, number - start), size, generator)
        for start in range(0, number, _TOGETHER)
    ]
    joined = zip(*(vars(part).values() for part in parts), strict=True)
    return Scenes(*(np.concatenate(values) for values in joined))


def _render(split: str, n: int, size: int, generator: np.random.Generator) -> Scenes:
    origin, direction, pitch = _camera(n, size, generator)
    surfaces = [*_room(n, origin, direction, generator)]
    kinds = [np.zeros(n, np.int64), np.ones(n, np.int64)]
    number = generator.integers(1, MOST + 1, n)
    cells = generator.permuted(np.tile(np.arange(6), (n, 1)), axis=1)
    for place in range(MOST):
        there = place < number
        hits, kind = _shape(split, cells[:, place], there, origin, direction, generator)
        surfaces.append(hits)
        kinds.append(2 + kind)
    depth = np.stack([hits.depth for hits in surfaces], 1)  # (n, surfaces, pixels)
    nearest = depth.argmin(1)
    colours = _colours(split, surfaces, nearest, generator)
    normal = _of_nearest([hits.normal for hits in surfaces], nearest)
    image = _lit(split, colours, normal, generator)
    face = 8 * nearest + _of_nearest([hits.face[:, None] for hits in surfaces], nearest)[:, 0]
    seen = np.stack([(nearest == s).sum(1) for s in range(2, 2 + MOST)], 1)
    classes = np.take_along_axis(np.stack(kinds, 1), nearest, 1)
    shape = n, size, size
    return Scenes(
        image.reshape(n, 3, size, size),
        classes.astype(np.uint8).reshape(shape),
        depth.min(1).astype(np.float32).reshape(shape),
        _seen_normals(normal, pitch).astype(np.float32).reshape(n, 3, size, size),
        _edges(face.reshape(shape)),
        (seen >= FEWEST_PIXELS * size**2).sum(1),
    )


def _camera(n: int, size: int, generator: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Place a camera in every scene.

    Returns:
        the cameras' places (n, 3) in metres; the rays through their pixels (n, 3, pixels), scaled
        so that a point at depth d is place + d * ray; and the angles by which cameras look down
        (n), in radians.
    """
    height, pitch = generator.uniform(1.4, 2.0, n), generator.uniform(0.15, 0.28, n)
    origin = np.stack([generator.uniform(-0.3, 0.3, n), height, np.zeros(n)], 1)
    at = ((np.arange(size) + 0.5) / size * 2 - 1) * 0.62  # tangent of half the angle of view
    right, up = np.meshgrid(at, -at)
    ray = np.stack([right, up, np.ones_like(right)]).reshape(3, -1)
    cos, sin = np.cos(pitch)[:, None], np.sin(pitch)[:, None]
    direction = np.stack(
        [np.tile(ray[0], (n, 1)), cos * ray[1] - sin * ray[2], sin * ray[1] + cos * ray[2]], 1
    )
    return origin, direction, pitch


def _room(
    n: int, origin: Floats, direction: Floats, generator: np.random.Generator
) -> tuple[Hits, Hits]:
    """Return where rays meet the floor, and a wall that is turned a little."""
    floor = plane(origin, direction, np.tile([0.0, 1.0, 0.0], (n, 1)), np.zeros(n))
    angle = generator.uniform(-0.5, 0.5, n)
    normal = np.stack([np.sin(angle), np.zeros(n), -np.cos(angle)], 1)
    return floor, plane(origin, direction, normal, -generator.uniform(6.5, 8.5, n) * np.cos(angle))


def _shape(
    split: str,
    cell: NDArray[np.int64],
    there: NDArray[np.bool_],
    origin: Floats,
    direction: Floats,
    generator: np.random.Generator,
) -> tuple[Hits, NDArray[np.int64]]:
    """Return where rays meet one shape of every image, and the kind of the shape (images).

    The shape stands in one of six cells of the floor: cell 4 is in the middle (column 4 % 3 = 1) of
    the second row (4 // 3 = 1). Images in which it is not ``there`` have nothing in its place.
    """
    n = len(cell)
    kind = generator.integers(0, len(_SHAPES), n)
    width = generator.uniform(0.45, 0.8, n)
    ratios = generator.uniform(*_RATIOS[split], (n, 2))
    half = np.stack([width, width * ratios[:, 0], width * ratios[:, 1]], 1)
    column, row = cell % 3, cell // 3
    x = (column - 1) * (1.3 + 0.5 * row) + generator.uniform(-0.25, 0.25, n)
    z = 3.2 + 1.7 * row + generator.uniform(-0.3, 0.3, n)
    centre, angle = np.stack([x, half[:, 1], z], 1), generator.uniform(0, np.pi / 2, n)
    pixels = direction.shape[2]
    found = Hits(
        np.full((n, pixels), FAR),
        np.zeros((n, 3, pixels)),
        np.zeros((n, 3, pixels)),
        np.zeros((n, pixels), np.int64),
    )
    for number, shape in enumerate(_SHAPES):
        rows = np.flatnonzero(there & (kind == number))
        hits = shape(origin[rows], direction[rows], centre[rows], half[rows], angle[rows])
        for name, values in vars(hits).items():
            getattr(found, name)[rows] = values
    return found, kind


def _of_nearest(values: Sequence[NDArray[Any]], nearest: NDArray[np.int64]) -> NDArray[Any]:
    """Return the value of the nearest surface at every pixel, (n, channels, pixels).

    Args:
        values: for every surface its values (n, channels, pixels).
        nearest: number of the nearest surface at every pixel (n, pixels).
    """
    found = np.take_along_axis(np.stack(values, 1), nearest[:, None, None], 1)
    return np.asarray(found[:, 0])


def _colours(
    split: str,
    surfaces: list[Hits],
    nearest: NDArray[np.int64],
    generator: np.random.Generator,
) -> Floats:
    """Return the colour of every pixel (n, 3, pixels), from 0 to 1, without light."""
    n, pixels = nearest.shape
    found = np.zeros((n, 3, pixels))
    patterns = OF_SPLIT[split]
    for number, hits in enumerate(surfaces):
        pair = generator.uniform(0.25, 1, (2, n, 3, 1))
        pattern = generator.integers(0, len(patterns), n)
        frequency = generator.uniform(1.2, 2.2, (n, 1)) * (1 if number < 2 else 2.5)
        mask = nearest == number
        for which, make in enumerate(patterns):
            rows = np.flatnonzero((pattern == which) & mask.any(1))
            if len(rows):
                second = make(hits.point[rows], frequency[rows])[:, None]
                colour = np.where(second, pair[1][rows], pair[0][rows])
                found[rows] = np.where(mask[rows][:, None], colour, found[rows])
    return found


def _lit(
    split: str, colours: Floats, normal: Floats, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the colours as bytes, in the light of a lamp far away and with noise."""
    n = len(colours)
    azimuth = np.deg2rad(generator.uniform(*_LIGHTS[split], n))
    elevation = np.deg2rad(generator.uniform(35, 60, n))
    towards = np.zeros((n, 3, 1))
    towards[:, 1, 0], towards[:, 2, 0] = np.sin(elevation), -np.cos(elevation)
    towards = turned(towards, azimuth)
    ambient = generator.uniform(0.25, 0.4, (n, 1, 1))
    light = ambient + (1 - ambient) * np.maximum((normal * towards).sum(1, keepdims=True), 0)
    noise = generator.normal(0, 0.02, colours.shape)
    return np.asarray(np.clip((colours * light + noise) * 255, 0, 255).round(), np.uint8)


def _seen_normals(normal: Floats, pitch: Floats) -> Floats:
    """Return normals in the camera's coordinates: x to the right, y up, z towards the camera."""
    cos, sin = np.cos(pitch)[:, None], np.sin(pitch)[:, None]
    x, y, z = normal[:, 0], normal[:, 1], normal[:, 2]
    return np.stack([x, cos * y + sin * z, -(cos * z - sin * y)], 1)


def _edges(face: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return 1 at pixels whose right or lower neighbour is on another face, and 0 at others."""
    edges = np.zeros(face.shape, np.uint8)
    edges[:, :, :-1] |= face[:, :, 1:] != face[:, :, :-1]
    edges[:, :-1] |= face[:, 1:] != face[:, :-1]
    return edges
