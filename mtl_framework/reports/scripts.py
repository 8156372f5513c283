"""Figures show text of any script: with fonts of the system, else in Latin letters.

matplotlib's own font has Latin, Greek, Cyrillic, Hebrew, Arabic and many symbols. What it lacks
is drawn with a font of the system that has it; where there is none, the text is transliterated, so
that no figure has boxes in the place of letters.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from anyascii import anyascii
from matplotlib import font_manager, ft2font
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

OWN = "DejaVu Sans"
# scripts whose letters change with their neighbours, or which run from the right
_SHAPED = {"R", "AL", "AN", "NSM"}
_INVISIBLE = {"\n", "\t", "\u200d", "\ufe0e", "\ufe0f", "\u200b"}


@dataclass(frozen=True)
class Fonts:
    """These fonts draw a text together, but for the characters in ``missing``.

    Args:
        families: names of fonts beside matplotlib's own, in the order in which they are tried.
        missing: characters that no font has.
    """

    families: tuple[str, ...]
    missing: frozenset[str]

    def drawable(self, text: str) -> str:
        """Return the text, with Latin letters for what cannot be drawn."""
        if not set(text) & (self.missing | _INVISIBLE - {"\n", "\t"}):
            return text
        words = "".join(_latin(c) if c in self.missing else c for c in text)
        return "".join(c for c in words if c == "\n" or c not in _INVISIBLE)


def make_drawable(figure: Figure) -> tuple[str, ...]:
    """Replace texts that no font can draw, and return the fonts that the figure needs."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    # labels of ticks are made anew whenever a figure is drawn
    ticks = [
        (axis, [label.get_text() for label in axis.get_ticklabels()])
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if isinstance(axis.get_major_locator(), FixedLocator)
    ]
    named = [label for _, labels in ticks for label in labels]
    fonts = fonts_for([*(text.get_text() for text in texts), *named])
    for text in texts:
        if (shown := fonts.drawable(text.get_text())) != text.get_text():
            text.set_text(shown)
    for axis, labels in ticks:
        drawn = [fonts.drawable(label) for label in labels]
        if drawn != labels:
            axis.set_ticks(axis.get_ticklocs(), drawn)
    return fonts.families


def fonts_for(texts: Iterable[str]) -> Fonts:
    """Find the fonts of the system that texts need."""
    wanted = {c for text in texts for c in text if c not in _INVISIBLE}
    unshaped = (
        set() if _shapes() else {c for c in wanted if unicodedata.bidirectional(c) in _SHAPED}
    )
    missing = {c for c in wanted if not _has(_own_file(), c)} - unshaped
    families = []
    for family, file in _system_fonts() if missing else ():
        found = {c for c in missing if _has(file, c)}
        if found:
            families.append(family)
            missing -= found
        if not missing:
            break
    return Fonts(tuple(families), frozenset(missing | unshaped))


def _latin(character: str) -> str:
    joins = unicodedata.category(character).startswith("M")  # marks on the letter before
    return anyascii(character) or ("" if joins else "?")


@cache
def _shapes() -> bool:
    """Return whether matplotlib joins letters and turns directions, as it does from 3.11 on."""
    return hasattr(ft2font, "__libraqm_version__")


@cache
def _own_file() -> str:
    return str(font_manager.findfont(OWN))


@cache
def _system_fonts() -> tuple[tuple[str, str], ...]:
    """List the families that matplotlib can draw with, each with a file; sans serif first."""
    files: dict[str, str] = {}
    for font in font_manager.fontManager.ttflist:
        useful = "Last Resort" not in font.name  # which draws boxes for everything
        if useful and font.style == "normal" and Path(font.fname).exists():
            files.setdefault(font.name, font.fname)
    return tuple(sorted(files.items(), key=lambda item: ("Sans" not in item[0], item[0])))


@cache
def _has(file: str, character: str) -> bool:
    font = _opened(file)
    return font is not None and font.get_char_index(ord(character)) != 0


@cache
def _opened(file: str) -> ft2font.FT2Font | None:
    """Open a font; ``None`` for those of coloured pictures, which matplotlib cannot draw."""
    try:
        font = ft2font.FT2Font(file)
    except RuntimeError:
        return None
    return font if getattr(font, "scalable", True) else None
