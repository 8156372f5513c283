"""What an image file says is what the network sees, or one line says why not."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, PngImagePlugin

from mtl_framework.data.images import read_image
from mtl_framework.data.levels import byte_levels
from mtl_framework.data.pictures import PictureOptions, picture_suffixes, read_picture
from mtl_framework.data.preprocessing import Preprocessing
from mtl_framework.support.errors import MtlError

RAMP = np.linspace(0, 65535, 240).reshape(12, 20)
EXPECTED = torch.from_numpy(np.rint(RAMP.astype("u2") / 257).astype(np.uint8))[None]


def grey(path: Path, **options: object) -> torch.Tensor:
    return read_image(path, True, PictureOptions(**options))  # type: ignore[arg-type]


def near(a: torch.Tensor, b: torch.Tensor, levels: int = 1) -> bool:
    return a.shape == b.shape and int((a.int() - b.int()).abs().max()) <= levels


# -- levels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jp2", "a.pgm", "swapped.tif"])
def test_sixteen_bits_keep_their_levels(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    dtype = ">u2" if name == "swapped.tif" else "<u2"
    mode = "I;16B" if name == "swapped.tif" else "I;16"
    image = Image.frombytes(mode, (20, 12), RAMP.astype(dtype).tobytes())
    options: dict[str, Any] = {"irreversible": False} if name.endswith("jp2") else {}
    image.save(file, **options)
    assert near(grey(file), EXPECTED)
    colour = read_image(file)
    assert near(colour, EXPECTED.expand(3, -1, -1))
    assert near((Preprocessing((1, 12, 20)).read([file])[0] * 255).byte(), EXPECTED)


def test_twelve_bits_of_a_tiff_file_are_its_range(tmp_path: Path) -> None:
    file = tmp_path / "twelve.tif"
    values = np.linspace(0, 4095, 24).astype(np.uint16)
    packed = bytearray()  # two numbers of 12 bits in three bytes, the first one's high bits first
    for a, b in values.reshape(-1, 2).tolist():
        packed += bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
    tags = {256: 6, 257: 4, 258: 12, 259: 1, 262: 1, 273: 200, 277: 1, 278: 4, 279: 36}
    directory = struct.pack("<H", len(tags))
    for tag, value in tags.items():
        directory += struct.pack("<HHII", tag, 4, 1, value)
    file.write_bytes((b"II*\0\x08\0\0\0" + directory).ljust(200, b"\0") + bytes(packed))
    expected = torch.from_numpy(np.rint(values / 4095 * 255).astype(np.uint8)).view(1, 4, 6)
    assert torch.equal(grey(file), expected)


@pytest.mark.parametrize(("bits", "floats"), [(8, False), (16, False), (32, True)])
def test_a_tiff_file_may_say_that_zero_is_white(tmp_path: Path, bits: int, floats: bool) -> None:
    file = tmp_path / "negative.tif"
    unit = np.linspace(0, 1, 24)
    values = unit if floats else np.rint(unit * (2**bits - 1))
    data = values.astype("<f4" if floats else f"<u{bits // 8}").tobytes()
    tags = {256: 6, 257: 4, 258: bits, 259: 1, 262: 0, 273: 200, 277: 1, 278: 4, 279: len(data)}
    tags |= {339: 3} if floats else {}
    directory = struct.pack("<H", len(tags))
    for tag, value in tags.items():
        directory += struct.pack("<HHII", tag, 4, 1, value)
    file.write_bytes((b"II*\0\x08\0\0\0" + directory).ljust(200, b"\0") + data)
    expected = torch.from_numpy(255 - np.rint(unit * 255)).to(torch.uint8).view(1, 4, 6)
    assert near(grey(file), expected)


def test_whole_numbers_of_unknown_range_and_wide_floats_are_refused(tmp_path: Path) -> None:
    wide, floats, unit = (tmp_path / name for name in ("wide.tif", "floats.tif", "unit.tif"))
    Image.fromarray(RAMP.astype("i4")).save(wide)
    Image.fromarray(RAMP.astype("f4")).save(floats)
    Image.fromarray((RAMP / 65535).astype("f4")).save(unit)
    assert near(grey(unit), EXPECTED)
    with pytest.raises(MtlError, match=r"wide\.tif holds whole numbers of unknown range .*65535"):
        grey(wide)
    with pytest.raises(MtlError, match=r"floats\.tif holds numbers from 0 to 65535.*value_range"):
        grey(floats)
    for file in (wide, floats):
        assert near(grey(file, value_range=(0.0, 65535.0)), EXPECTED)
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(floats)
    with pytest.raises(MtlError, match="not finite"):
        grey(floats)


def test_twelve_bits_in_sixteen_use_all_levels_by_option(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray((RAMP / 16).astype("u2")).save(file)
    assert grey(file).max() == 16
    assert near(grey(file, value_range=(0.0, 4095.0)), EXPECTED)


@pytest.mark.parametrize("value_range", [(3.0, 3.0), (2.0, 1.0), (0.0, float("inf"))])
def test_ranges_should_be_ranges(value_range: tuple[float, float]) -> None:
    with pytest.raises(MtlError, match="value_range should be two numbers"):
        PictureOptions(value_range=value_range)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[0, 65535]], ">u2"), [0, 255]),
        (np.array([[0, 0.2]], ">f4"), [0, 51]),
        (np.array([[0, 1.0]], np.float64), [0, 255]),
        (np.array([[0, 0.2]], np.float16), [0, 51]),
        (np.array([[3, 4]], np.uint8), [3, 4]),
        (np.array([[3, 4]], np.int64), None),
        (np.array([[0, 1.5]]), None),
    ],
)
def test_arrays_are_scaled_by_their_range(
    tmp_path: Path, array: np.ndarray, expected: list[int] | None
) -> None:
    file = tmp_path / "a.npy"
    np.save(file, array)
    if expected is None:
        with pytest.raises(MtlError, match=r"a\.npy holds .*value_range"):
            read_image(file)
        return
    assert read_image(file).flatten().tolist() == expected
    assert byte_levels(array).flatten().tolist() == expected


# -- transparency ----------------------------------------------------------------------------------


def hidden_black(mode: str, path: Path) -> None:
    """A black square on a transparent ground whose hidden colour is black, too."""
    alpha = np.zeros((6, 6), np.uint8)
    alpha[2:4, 2:4] = 255
    image = Image.new("RGB" if mode in ("RGBA", "P", "RGB") else "L", (6, 6), 0)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(alpha))
        image.save(path)
    elif mode in ("P", "PA"):
        image = Image.new("P", (6, 6), 0)
        image.putpalette([0, 0, 0] * 256)
        image.paste(1, (2, 2, 4, 4))
        image.save(path, transparency=0 if mode == "P" else bytes([0, 255]))
    else:  # a level, or a colour, that is said to be transparent
        deep = np.where(alpha > 0, 1, 0)
        if mode == "RGB":
            Image.fromarray(np.repeat(deep[..., None], 3, 2).astype(np.uint8)).save(
                path, transparency=(0, 0, 0)
            )
        else:
            dtype = np.uint16 if mode == "I;16" else np.uint8
            Image.fromarray(deep.astype(dtype)).save(path, transparency=0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA", "RGB", "L", "I;16"])
def test_transparent_parts_lie_on_the_ground(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "a.png"
    hidden_black(mode, file)
    square = torch.full((6, 6), 255)
    square[2:4, 2:4] = 0
    assert near(grey(file)[0], square)
    assert near(read_image(file), square.expand(3, 6, 6))
    red = read_image(file, options=PictureOptions(ground="red"))
    assert red[:, 0, 0].tolist() == [255, 0, 0]
    assert red[:, 3, 3].max() <= 1


def test_half_transparent_parts_are_mixed_with_the_ground(tmp_path: Path) -> None:
    file = tmp_path / "a.webp"
    Image.new("RGBA", (4, 4), (0, 0, 0, 128)).save(file, lossless=True)
    assert abs(int(grey(file)[0, 0, 0]) - 127) <= 1
    assert grey(file, ground="#000").max() == 0
    with pytest.raises(MtlError, match="ground should be the name of a colour"):
        PictureOptions(ground="see-through")


# -- how a file says that it is to be seen ---------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255  # the upper left corner
    turned: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).T,
        8: lambda x: np.rot90(x, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turned[orientation](upright)))
    stored.save(tmp_path / f"a{suffix}", exif=exif)
    found = grey(tmp_path / f"a{suffix}")[0]
    assert found.shape == (16, 32)
    assert found[:7, :7].min() > 200
    assert found[9:].max() < 60 > found[:, 9:].max()


def swapped_profile() -> bytes:
    """sRGB with the colours of red and green exchanged: what a file calls red is seen as green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    entries = {bytes(profile[n : n + 4]): n for n in range(132, 132 + 12 * count, 12)}
    red, green = (
        int.from_bytes(profile[entries[key] + 4 : entries[key] + 8], "big")
        for key in (b"rXYZ", b"gXYZ")
    )
    profile[red : red + 20], profile[green : green + 20] = (
        profile[green : green + 20],
        profile[red : red + 20],
    )
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_of_a_profile_become_those_of_srgb(tmp_path: Path, mode: str) -> None:
    colours = np.array([[[200, 60, 40], [128, 128, 128], [30, 180, 60], [255, 255, 255]]], np.uint8)
    plain = Image.fromarray(colours)
    stored = plain.quantize(4) if mode == "P" else plain.convert(mode)
    same, wide = tmp_path / "same.png", tmp_path / "wide.png"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored.save(same, icc_profile=srgb)
    stored.save(wide, icc_profile=swapped_profile())
    assert torch.equal(read_image(same), torch.from_numpy(colours).permute(2, 0, 1))
    expected = torch.from_numpy(colours[..., [1, 0, 2]]).permute(2, 0, 1)
    assert near(read_image(wide), expected)


def test_a_profile_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(file, icc_profile=b"no profile")
    with pytest.raises(MtlError, match=r"a\.png has a colour profile that cannot be read"):
        read_image(file)
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.tif", icc_profile=swapped_profile())
    with pytest.raises(MtlError, match=r"a\.tif has a colour profile for RGB, but .* CMYK"):
        read_image(tmp_path / "a.tif")
    Image.new("L", (4, 4), 99).save(file, icc_profile=swapped_profile())
    # grey is as much red as green
    assert near(read_image(file, True), torch.full((1, 4, 4), 99), 2)


@pytest.mark.parametrize("deep", [False, True])
def test_a_gamma_is_taken_to_that_of_srgb(tmp_path: Path, deep: bool) -> None:
    file = tmp_path / "a.png"
    light = np.full((4, 4), 13107 if deep else 51, np.uint16 if deep else np.uint8)  # a fifth
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", (100_000).to_bytes(4, "big"))  # levels are proportional to light
    Image.fromarray(light).save(file, pnginfo=info)
    assert near(grey(file), torch.full((1, 4, 4), round(255 * 0.2 ** (1 / 2.2))))
    info.add(b"sRGB", b"\0")  # which counts more
    Image.fromarray(light).save(file, pnginfo=info)
    assert near(grey(file), torch.full((1, 4, 4), 51))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("1", ".png"), ("1", ".tif"), ("L", ".bmp"), ("P", ".gif"), ("CMYK", ".jpg"),
        ("CMYK", ".tif"), ("YCbCr", ".tif"), ("LAB", ".tif"), ("RGB", ".tga"), ("RGB", ".qoi"),
        ("RGB", ".ppm"), ("RGB", ".ico"), ("RGB", ".jfif"), ("RGB", ".avif"),
    ],
)  # fmt: skip
def test_every_mode_is_seen_as_it_looks(tmp_path: Path, mode: str, suffix: str) -> None:
    if suffix not in picture_suffixes():
        pytest.skip(f"this Pillow cannot read {suffix}")
    halves = np.zeros((16, 16, 3), np.uint8)
    halves[:, 8:] = 255
    plain = Image.fromarray(halves)
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        stored = ImageCms.profileToProfile(
            plain, ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
        )
        assert stored is not None
    else:
        stored = plain.convert(mode)
    file = tmp_path / f"a{suffix}"
    options: dict[str, Any] = {"sizes": [(16, 16)]} if suffix == ".ico" else {}
    stored.save(file, **options)
    try:
        Image.open(file).load()
    except OSError as error:
        pytest.skip(f"this Pillow cannot read what it wrote: {error}")
    found = read_image(file)
    assert found.shape == (3, 16, 16)
    assert found[:, :, :7].max() < 30
    assert found[:, :, 9:].min() > 225


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_files_of_several_pictures_are_refused_unless_the_first_is_meant(
    tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"a{suffix}"
    frames = [Image.new("L", (8, 8), level) for level in (0, 120, 255)]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    with pytest.raises(MtlError, match=r"a\.\w+ holds 3 pictures .*suite\.animated=first"):
        grey(file)
    assert grey(file, animated="first").max() < 5


def test_pictures_that_take_too_long_are_refused_before_they_are_read(tmp_path: Path) -> None:
    Image.new("1", (9500, 9500)).save(tmp_path / "a.png")
    with pytest.raises(MtlError, match=r"a\.png is too large an image: its 9500 x 9500 pixels"):
        read_picture(tmp_path / "a.png", "L")


def test_programs_are_not_run(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    assert not {".eps", ".ps", ".wmf"} & picture_suffixes()
    with pytest.raises(MtlError, match="of no kind that Pillow reads"):
        grey(file)


def test_options_survive_json() -> None:
    options = PictureOptions("black", (0.0, 4095.0), "first")
    assert PictureOptions.from_plain(options.to_plain()) == options
    assert PictureOptions.from_plain(PictureOptions().to_plain()) == PictureOptions()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", r"it is empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS: git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "it is a web page"),
        (b"nothing", "of no kind that Pillow reads, or damaged"),
    ],
)
def test_what_has_only_the_name_of_a_picture_is_told(
    tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(MtlError, match=f"cannot be read as an image: .*{told}"):
        read_image(tmp_path / "a.jpg")
