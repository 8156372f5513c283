"""What files say of their colours without a profile is converted to sRGB, refused, or told."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtl_suites.dense_folders import dense_folders
from mtl_suites.folders import folders
from mtl_suites.table import table
from PIL import Image, PngImagePlugin

from mtl_framework import MtlError
from mtl_framework.data import unconverted_colours
from mtl_framework.data.pictures import read_picture

ADOBE = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
GAMMA_2_2 = (b"gAMA", struct.pack(">I", 45455))
# light of linear RGB as light of linear sRGB, as published for both spaces (white D65)
FROM_ADOBE = np.array([[1.3984, -0.3984, 0.0], [0.0, 1.0, 0.0], [0.0, -0.0429, 1.0429]])
FROM_P3 = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def in_srgb(matrix: np.ndarray, gamma: float | None) -> np.ndarray:
    """Convert the pixels to sRGB in floats, by the definition of sRGB (IEC 61966-2-1)."""
    levels = PIXELS / 255
    curve = ((levels + 0.055) / 1.055) ** 2.4
    light = levels**gamma if gamma else np.where(levels <= 0.04045, levels / 12.92, curve)
    light = (light @ matrix.T).clip(0, 1)
    shown: np.ndarray = np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    )
    shown *= 255
    return shown


def png(path: Path, *chunks: tuple[bytes, bytes], pixels: np.ndarray = PIXELS) -> Path:
    more = PngImagePlugin.PngInfo()
    for name, content in chunks:
        more.add(name, content)
    Image.fromarray(pixels).save(path, pnginfo=more)
    return path


def primaries(points: tuple[int, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *points)


def read(path: Path) -> np.ndarray:
    return np.asarray(read_picture(path, "RGB"), float)


@pytest.mark.parametrize(
    ("chunks", "matrix", "gamma"),
    [
        ([primaries(ADOBE), GAMMA_2_2], FROM_ADOBE, 2.2),
        ([primaries(P3)], FROM_P3, None),
        ([(b"cICP", bytes([12, 13, 0, 1]))], FROM_P3, None),
        ([(b"cICP", bytes([12, 13, 0, 1])), primaries(ADOBE), GAMMA_2_2], FROM_P3, None),
        ([(b"cICP", bytes([1, 8, 0, 1]))], np.eye(3), 1.0),
    ],
)
def test_primaries_become_those_of_srgb(
    tmp_path: Path, chunks: Any, matrix: np.ndarray, gamma: float | None
) -> None:
    found, expected = read(png(tmp_path / "a.png", *chunks)), in_srgb(matrix, gamma)
    assert np.abs(found - expected).max() <= 2.5
    assert np.abs(PIXELS - expected).max() > 20


@pytest.mark.parametrize(
    "chunks",
    [
        [primaries(SRGB)],
        [primaries(SRGB), GAMMA_2_2],
        [primaries(ADOBE), (b"sRGB", b"\0")],
        [primaries((0,) * 8)],
        [(b"cICP", bytes([1, 13, 0, 1])), primaries(ADOBE)],
        [],
    ],
)
def test_srgb_stays_as_it_is(tmp_path: Path, chunks: Any) -> None:
    assert np.array_equal(read(png(tmp_path / "a.png", *chunks)), PIXELS)


def test_grey_and_transparent_pictures_have_colours_too(tmp_path: Path) -> None:
    grey = png(tmp_path / "g.png", primaries(ADOBE), GAMMA_2_2, pixels=PIXELS[..., 0])
    assert np.array_equal(read(grey), np.dstack([PIXELS[..., 0]] * 3))
    linear = png(tmp_path / "l.png", (b"cICP", bytes([1, 8, 0, 1])), pixels=PIXELS[..., 0])
    assert np.abs(read(linear)[..., 0] - in_srgb(np.eye(3), 1.0)[..., 0]).max() <= 2.5
    clear = np.dstack([PIXELS, np.full((16, 16), 255, np.uint8)])
    seen = read(png(tmp_path / "t.png", primaries(P3), pixels=clear))
    assert np.abs(seen - in_srgb(FROM_P3, None)).max() <= 2.5


@pytest.mark.parametrize("points", [(9, 16, 0, 1), (9, 18, 0, 1), (1, 13, 0, 0), (77, 13, 0, 1)])
def test_what_eight_bits_cannot_hold_is_refused(tmp_path: Path, points: tuple[int, ...]) -> None:
    with pytest.raises(MtlError, match=r"a\.png says by its chunk cICP .*save it in sRGB"):
        read(png(tmp_path / "a.png", (b"cICP", bytes(points))))


def adobe_rgb(index: str | None = "R03", space: int = 0xFFFF) -> Image.Exif:
    exif = Image.Exif()
    part = exif.get_ifd(0x8769)
    part[0xA001] = space
    if index:
        part[0xA005] = {1: index}
    return exif


def test_adobe_rgb_of_cameras_is_converted(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.webp", exif=adobe_rgb(), lossless=True)
    assert np.abs(read(tmp_path / "a.webp") - in_srgb(FROM_ADOBE, 563 / 256)).max() <= 2.5
    Image.fromarray(PIXELS).save(tmp_path / "b.webp", exif=adobe_rgb("R98", 1), lossless=True)
    assert np.array_equal(read(tmp_path / "b.webp"), PIXELS)


def test_tags_of_a_tiff_file_are_converted(tmp_path: Path) -> None:
    tags = {318: (0.3127, 0.329), 319: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)}
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", tiffinfo=tags)
    assert np.abs(read(tmp_path / "a.tif") - in_srgb(FROM_P3, None)).max() <= 2.5


def test_uncalibrated_colours_are_told(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=adobe_rgb(None))
    Image.fromarray(PIXELS).save(tmp_path / "b.jpg", exif=adobe_rgb())
    with Image.open(tmp_path / "a.jpg") as one, Image.open(tmp_path / "b.jpg") as other:
        assert [unconverted_colours(one), unconverted_colours(other)] == ["EXIF: uncalibrated", ""]


def test_suites_count_uncalibrated_files(tmp_path: Path) -> None:
    rows = ["image,kind"]
    (tmp_path / "maps/images").mkdir(parents=True)
    (tmp_path / "maps/depth").mkdir()
    random = np.random.default_rng(1)
    for n in range(10):
        name, number = "ab"[n % 2], n // 2
        file = tmp_path / "pets" / name / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        picture.save(file, exif=adobe_rgb(None) if number < 2 else Image.Exif())
        rows.append(f"pets/{name}/{number}.jpg,{name}")
        (tmp_path / f"maps/images/{n}.jpg").write_bytes(file.read_bytes())
        np.save(tmp_path / f"maps/depth/{n}.npy", np.ones((8, 8), np.float32))
    (tmp_path / "t.csv").write_text("\n".join(rows))
    root = str(tmp_path)
    for suite in (
        folders(path="pets", data_root=root),
        table(path="t.csv", data_root=root),
        dense_folders(path="maps", data_root=root),
    ):
        assert (
            "4 image files of colours that are not sRGB (EXIF: uncalibrated), read as if they were"
        ) in " ".join(suite.notes)
