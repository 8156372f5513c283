"""Image files are read here, in the same way for training, evaluation and prediction.

The network sees what the file means: all levels of images of 16 bits or floats, transparent parts
on a stated background, EXIF's orientation, the colours of an embedded profile or gamma. A file that
cannot be read faithfully is refused, with its name and the reason.
"""

import functools
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from ..support.errors import MtlError, message_of
from .colour_profiles import profile_of
from .colour_tags import note_code_points, said_colours
from .colours import decoded_gamma, to_srgb
from .levels import deep_levels, is_deep

Mode = Literal["L", "RGB", "RGBA"]

# Of what Pillow can open: programs, which it would have to run (EPS), drawings (WMF), and kinds
# that it only recognises.
_NOT_READ = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
# Several pictures in a file, of which the format itself says that the first one is meant.
_FIRST_IS_MEANT = ("ICNS", "ICO", "MPO", "PSD")


@dataclass(frozen=True)
class PictureOptions:
    """How image files are read, as a suite's options say.

    Args:
        ground: background colour behind transparent parts, a name or ``#rrggbb``.
        value_range: the numbers that become black and white, for files of 16 bits and of floats;
            ``None``: the whole range of the bits, and 0 to 1 for floats.
        animated: ``refuse``: files of several pictures are an error; ``first``: their first one is
            read.

    Raises:
        MtlError: naming the option, what was found and what is allowed.
    """

    ground: str = "white"
    value_range: tuple[float, float] | None = None
    animated: Literal["refuse", "first"] = "refuse"

    def __post_init__(self) -> None:
        try:
            ImageColor.getrgb(self.ground)
        except (ValueError, AttributeError):
            raise MtlError(
                "ground should be the name of a colour, e.g. white, or like #ffffff, found "
                f"{self.ground!r}"
            ) from None
        if self.value_range is not None:
            ends = tuple(self.value_range)
            if len(ends) != 2 or not all(np.isfinite(ends)) or ends[0] >= ends[1]:
                raise MtlError(
                    "value_range should be two numbers, the lower one first, found "
                    f"{list(self.value_range)}"
                )

    def to_plain(self) -> dict[str, Any]:
        """Return the options as values that JSON can hold."""
        plain = asdict(self)
        return plain | {"value_range": self.value_range and list(self.value_range)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "PictureOptions":
        """Make options of what :meth:`to_plain` returned."""
        ends = plain.get("value_range")
        return cls(**{**plain, "value_range": ends and (float(ends[0]), float(ends[1]))})


DEFAULT = PictureOptions()

# What Pillow only warns of is refused here, see _check_size.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_picture(path: Path, mode: Mode, options: PictureOptions = DEFAULT) -> Image.Image:
    """Read an image file with 8 bits a channel.

    Grey levels of 16 bits, and floats, are scaled to 0 to 255 by their range. EXIF's orientation
    is applied. A colour profile, or what else a file says of its colours, is converted to sRGB.
    Transparent parts are put on a background unless ``mode`` is RGBA.

    Args:
        path: path of the file.
        mode: ``L`` (grey), ``RGB`` or ``RGBA``.
        options: how transparency, ranges of values and animations are handled.

    Raises:
        MtlError: naming the file that is missing, damaged, no image, or one that cannot be read
            faithfully, with the reason.
    """
    try:
        # opened as a file: TIFF files that Pillow opens by name it maps, and turns wrongly
        with path.open("rb") as file:
            image = Image.open(file, formats=readable_formats())
            check_picture_size(image.width, image.height)
            note_code_points(image, file)
            return plain_picture(image, mode, options)
    except FileNotFoundError:
        raise MtlError(f"there is no image {path}") from None
    except Image.DecompressionBombError as error:
        raise MtlError(f"{path} is too large an image: {error}") from error
    except MtlError as error:
        raise MtlError(f"{path} {error}") from error
    except UnidentifiedImageError as error:
        raise MtlError(f"{path} cannot be read as an image: {_instead(path)}") from error
    except Exception as error:  # whatever a damaged file makes a parser raise
        reason = message_of(error)
        raise MtlError(f"{path} cannot be read as an image: {reason}") from error


def plain_picture(
    image: Image.Image, mode: Mode | None, options: PictureOptions = DEFAULT
) -> Image.Image:
    """Return a picture in memory in the form in which :func:`read_picture` returns a file's.

    Args:
        image: an image of Pillow, in any mode.
        mode: ``L`` (grey), ``RGB`` or ``RGBA``; ``None`` takes ``L`` for grey pictures and ``RGB``
            for others.
        options: how pixels become numbers.

    Raises:
        MtlError: if the picture cannot be read faithfully; callers put its name before the message.
    """
    _check_frames(image, options)
    image.load()
    upright = ImageOps.exif_transpose(image)
    plain = _plain_levels(upright, image, options)
    if mode is None:
        mode = "L" if plain.mode in ("L", "LA") else "RGB"
    return _in_mode(plain, mode, options)


def _instead(path: Path) -> str:
    """Say what a file is that has the suffix of an image but is none."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "it is empty (0 bytes)"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS: git lfs pull"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page, as a failed download leaves it"
    return "it is of no kind that Pillow reads, or damaged"


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read."""
    Image.init()
    return tuple(sorted(name for name in Image.OPEN if name not in _NOT_READ))


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes of image files that are read, in lower case, e.g. ``.jpg``."""
    formats = set(readable_formats())
    return frozenset(s for s, name in Image.registered_extensions().items() if name in formats)


def check_picture_size(width: int, height: int) -> None:
    """Raise an error on images with more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.

    The check comes before anything is read; larger images may take ten seconds and 2 GiB.

    Args:
        width: width of the picture or map, in pixels.
        height: height of the picture or map, in pixels.

    Raises:
        MtlError: if there are more pixels; the message says what to do, and callers put the name of
            the file before it.
    """
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise MtlError(
            f"is too large an image: its {width} x {height} pixels are more than "
            f"{most:,}; make it smaller beforehand, or cut it into parts"
        )


def _check_frames(image: Image.Image, options: PictureOptions) -> None:
    if options.animated == "first" or image.format in _FIRST_IS_MEANT:
        return
    if not getattr(image, "is_animated", False):
        return
    frames = _pages(image) if image.format == "TIFF" else getattr(image, "n_frames", 2)
    if frames > 1:
        raise MtlError(
            f"holds {frames} pictures (an animation or pages): save the one that is meant, or set "
            "suite.animated=first"
        )


def _pages(image: Image.Image) -> int:
    """Count the pages of a TIFF file that are no smaller copies and no masks of others."""
    count = 0
    for frame in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(frame)
        kind = image.tag_v2.get(254, 0)  # type: ignore[attr-defined]
        count += not kind & 0b101
    image.seek(0)
    return count


def _plain_levels(image: Image.Image, opened: Image.Image, options: PictureOptions) -> Image.Image:
    """Convert an image to 8 bits a channel in sRGB, as mode L, LA, RGB or RGBA.

    ``opened`` is the image as it was opened, with the metadata of its file.
    """
    if is_deep(image.mode):
        return deep_levels(image, opened, options.value_range)
    transparent = "transparency" in opened.info
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    elif image.mode in ("P", "PA") or transparent:
        image = image.convert("RGBA" if transparent or image.mode == "PA" else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode == "RGBX":
        image = image.convert("RGB")
    profile = opened.info.get("icc_profile")
    if profile:
        return to_srgb(image, profile)
    if image.mode == "LAB":
        return to_srgb(image, None)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    colours = said_colours(opened, image.mode in ("L", "LA"))
    if colours is not None and opened.mode != "CMYK":
        return to_srgb(image, profile_of(colours))
    return decoded_gamma(image, opened)


def _in_mode(image: Image.Image, mode: Mode, options: PictureOptions) -> Image.Image:
    """Convert to ``mode``; transparent parts are put on the background unless it is RGBA."""
    if mode == "RGBA":
        return image.convert("RGBA")
    if image.mode in ("LA", "RGBA"):
        ground = Image.new("RGBA", image.size, (*ImageColor.getrgb(options.ground)[:3], 255))
        image = Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert(mode)
