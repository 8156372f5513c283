"""Colours are converted from what a file says they mean to sRGB, which networks read."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from ..support.errors import MtlError

_SRGB_GAMMA = 1 / 2.2
_SAME = 2  # levels of 255 that a profile may move colours by and still be sRGB


def gamma_of(opened: Image.Image) -> float | None:
    """Return the exponent that turns levels in [0, 1] into those of sRGB, if a PNG file has one."""
    gamma = opened.info.get("gamma")
    if not isinstance(gamma, float) or gamma <= 0 or "srgb" in opened.info:
        return None
    exponent = _SRGB_GAMMA / gamma
    return None if abs(exponent - 1) < 0.05 else exponent


def decoded_gamma(image: Image.Image, opened: Image.Image) -> Image.Image:
    """Convert an image of mode L, LA, RGB or RGBA from the gamma of its file to that of sRGB."""
    exponent = gamma_of(opened)
    if exponent is None:
        return image
    curve = [round(255 * (level / 255) ** exponent) for level in range(256)]
    colours = len(image.getbands()) - (image.mode in ("LA", "RGBA"))
    return image.point(curve * colours + list(range(256)) * (len(image.getbands()) - colours))


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image from the colours of its profile to sRGB, as L, LA, RGB or RGBA.

    Args:
        image: the image, with 8 bits a channel.
        profile: the ICC profile in its file; ``None``: the colours are CIE Lab.

    Raises:
        MtlError: if the profile is damaged, or is for other channels than the image has.
    """
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    grey = image.mode in ("L", "LA")
    if alpha is not None:
        image = image.convert(image.mode[:-1]) if image.mode == "LA" else _without_alpha(image)
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    transform = _transform(profile, image.mode)
    if transform == "rgb":  # a profile of colours in a grey image: grey is equal parts of them
        image = image.convert("RGB")
        transform = _transform(profile, "RGB")
    if isinstance(transform, ImageCms.ImageCmsTransform):
        image = transform.apply(image)
    elif image.mode not in ("L", "RGB"):
        raise MtlError("has a colour profile that does not fit its channels")
    if grey and image.mode != "L":
        image = image.convert("L")
    if alpha is not None:
        image.putalpha(alpha)
    return image


def _without_alpha(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", image.split()[:3])


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | str:
    """Return the conversion to sRGB, or a word if there is none.

    The word is ``same`` if the conversion would change nothing, and ``rgb`` if a grey image has a
    profile for RGB.
    """
    try:
        if profile is None:
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise MtlError(
            f"has a colour profile that cannot be read ({' '.join(str(error).split())}): save it "
            "in sRGB"
        ) from error
    if mode == "L" and space == "RGB":
        return "rgb"
    wanted = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}[mode]
    if space != wanted:
        raise MtlError(
            f"has a colour profile for {space}, but its channels are {mode}: save it in sRGB"
        )
    try:
        made = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise MtlError(
            f"has a colour profile that cannot be applied ({' '.join(str(error).split())}): save "
            "it in sRGB"
        ) from error
    if mode in ("L", "RGB"):
        cube = _colours(mode)
        before, after = (np.asarray(x.convert("RGB"), int) for x in (cube, made.apply(cube)))
        if np.abs(before - after).max() <= _SAME:
            return "same"
    return made


def _colours(mode: str) -> Image.Image:
    """Return an image of all colours with levels 0, 17, 34 and so on to 255, grey or RGB."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(levels[None])
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
    return Image.fromarray(grid.reshape(-1, len(levels), 3))
