"""Letters are drawn as pictures from the fonts that matplotlib ships."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from mtl_framework import MtlError

#: The letters of every script, each of which is a class, in the order of their labels.
SCRIPTS = {
    "latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "greek": "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ",
    "cyrillic": "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    "armenian": "ԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖ",
    "georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
}

#: Fonts of the training and validation images: with and without serifs, upright and slanted.
TRAIN_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
)

#: Fonts of the test images: a family of other proportions, with some letters of another form.
TEST_FONTS = (
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
)

#: Width and height of a drawn letter's picture, in pixels.
CANVAS = 64
#: The longer side of a letter's bounding box, in pixels; the rest of the canvas is margin.
LETTER = 44
# Size at which letters are drawn, large, and then reduced, so that hinting, which differs between
# versions, hardly shows
_POINTS = 128


def font_file(font: str) -> Path:
    """Return the file in which matplotlib keeps a font."""
    return Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")


@cache
def draw(letter: str, font: str) -> UInt8[np.ndarray, "canvas canvas"]:
    """Draw a letter white on black, centred, with a longer side of :data:`LETTER` pixels.

    Callers share the array and must not write to it.

    Raises:
        MtlError: if the font file cannot be read or has no such letter; the message names it.
    """
    file = font_file(font)
    try:
        face = ImageFont.truetype(str(file), _POINTS, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise MtlError(
            f"cannot read the font {file}: {error}; it comes with matplotlib, reinstall that"
        ) from error
    large = Image.new("L", (3 * _POINTS, 3 * _POINTS))
    ImageDraw.Draw(large).text((_POINTS, 2 * _POINTS), letter, fill=255, font=face, anchor="ls")
    box = large.getbbox()
    if box is None:
        raise MtlError(f"font {file} draws nothing for letter {letter!r}")
    width, height = box[2] - box[0], box[3] - box[1]
    scale = LETTER / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = large.crop(box).resize(size, Image.Resampling.BOX)
    picture = Image.new("L", (CANVAS, CANVAS))
    picture.paste(small, ((CANVAS - size[0]) // 2, (CANVAS - size[1]) // 2))
    return np.asarray(picture)
