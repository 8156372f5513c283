"""Files of other colours than sRGB, which nothing converts, are told before training."""

import struct
from pathlib import Path

import numpy as np
import pytest
from mtl_suites.colour_hints import unconverted_colours
from mtl_suites.folders import folders
from mtl_suites.table import table
from PIL import Image, PngImagePlugin

ADOBE = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def png(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    more = PngImagePlugin.PngInfo()
    for name, content in chunks:
        more.add(name, content)
    pixels = np.random.default_rng(path.stem.encode()[0]).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(pixels).save(path, pnginfo=more)
    return path


def told(path: Path) -> str:
    with Image.open(path) as image:
        return unconverted_colours(image, path)


@pytest.mark.parametrize(
    ("chunks", "what"),
    [
        ([(b"cHRM", struct.pack(">8I", *ADOBE))], "PNG's cHRM"),
        ([(b"cHRM", struct.pack(">8I", *SRGB))], ""),
        ([(b"cHRM", struct.pack(">8I", *ADOBE)), (b"sRGB", b"\0")], ""),
        ([(b"cICP", bytes([12, 13, 0, 1]))], "PNG's cICP"),
        ([(b"cICP", bytes([1, 13, 0, 1]))], ""),
        ([], ""),
    ],
)
def test_png_files(tmp_path: Path, chunks: list[tuple[bytes, bytes]], what: str) -> None:
    assert told(png(tmp_path / "a.png", *chunks)) == what


@pytest.mark.parametrize(("index", "what"), [("R03", "EXIF: Adobe RGB"), ("R98", "EXIF: uncal")])
def test_jpeg_files(tmp_path: Path, index: str, what: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: index}})
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.jpg", exif=exif)
    assert told(tmp_path / "a.jpg").startswith(what)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "b.jpg")
    assert told(tmp_path / "b.jpg") == ""


def test_suites_count_them(tmp_path: Path) -> None:
    rows = ["image,kind"]
    for name in "ab":
        (tmp_path / "pets" / name).mkdir(parents=True)
        for n in range(5):
            chunk = [(b"cHRM", struct.pack(">8I", *ADOBE))] if n < 2 else []
            png(tmp_path / "pets" / name / f"{'acegikmoqs'[n + 5 * (name == 'b')]}.png", *chunk)
    for file in sorted((tmp_path / "pets").rglob("*.png")):
        rows.append(f"{file.relative_to(tmp_path).as_posix()},{file.parent.name}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    line = "4 image files of colours that are not sRGB (PNG's cHRM), read as if they were"
    assert line in " ".join(folders(path="pets", data_root=str(tmp_path)).notes)
    assert line in " ".join(table(path="t.csv", data_root=str(tmp_path)).notes)
