"""Figures of a report have one style, and are written as PNG and as SVG.

Colours are those of Okabe and Ito, which readers with any kind of colour vision can tell apart.
Text, lines and ground use :data:`INK`, :data:`MUTED` and :data:`PAPER`; in SVG these follow the
reader's dark or light preference.
"""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from .scripts import OWN, make_drawable

INK, MUTED, PAPER = "#20242a", "#8a9099", "#fefefd"
PALETTE = ("#0072b2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31", "#7A68A6")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# cividis without its darkest part, which a dark ground would swallow
SEQUENTIAL = LinearSegmentedColormap.from_list(
    "cividis_upper", mpl.colormaps["cividis"](np.linspace(0.2, 1, 256))
)
_DARK = {INK: "#e7e9ec", MUTED: "#878e98", PAPER: "#16191d", "#0072b2": "#4aa3df"}

_RC = {
    "text.parse_math": False,  # a name with two dollar signs is a name
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": "none",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": MUTED,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "font.family": "sans-serif",
    "font.sans-serif": [OWN],
    "font.size": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "mtl-framework",
    "savefig.dpi": 150,
}


@contextmanager
def style() -> Iterator[None]:
    """Let figures drawn inside this context look alike, in dark and in light."""
    with mpl.rc_context(_RC):  # type: ignore[arg-type]
        yield


def new_figure(width: int | float, height: int | float) -> Figure:
    """Make an empty figure of a size in inches, which lays out its parts by itself."""
    return Figure(figsize=(width, height), layout="constrained")


def colour_of(position: int) -> str:
    """Return the colour of the strategy (or weight) at a position of its list."""
    return PALETTE[position % len(PALETTE)]


def slug(text: str) -> str:
    """Write a text as part of a file name; different texts may give the same one."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def png(figure: Figure) -> bytes:
    """Draw a figure as PNG, on a light ground."""
    return _saved(figure, "png", {"Software": None})


def svg(figure: Figure) -> str:
    """Draw a figure as SVG without external references; it is dark for readers who prefer dark."""
    text = _saved(figure, "svg", {"Date": None, "Creator": None}).decode()
    text = re.sub(
        r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*|<metadata>.*?</metadata>\s*", "", text, flags=re.S
    )
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in _DARK.items()
        for kind in ("fill", "stroke")
    )
    css = f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>"
    return re.sub(r"(<svg[^>]*>)", lambda found: found.group(1) + css, text, count=1)


def data_uri(text: str) -> str:
    """Write an SVG as the source of an image element."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def shortened(names: Sequence[str], most: int = 18) -> list[str]:
    """Cut names that are too long for an axis, so that different ones stay different.

    They are cut at the end. Where two would read the same, they keep as little of their ends as
    tells them apart, from half on: with at most 10 letters ``stages.2.blocks.0`` and
    ``stages.2.blocks.1`` are ``stage…ks.0`` and ``stage…ks.1``. Names that no end tells apart are
    numbered.

    Args:
        names: the names.
        most: number of letters that a name may have, at least 4.
    """
    for end in (0, *range((most - 1) // 2, most)):
        cut = [_cut(name, most, end) for name in names]
        if len(set(cut)) == len(set(names)):
            return cut
    order = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    return [
        name
        if len(name) <= most
        else _cut(name, most - len(f" {order[name]}"), 0) + f" {order[name]}"
        for name in names
    ]


def _cut(name: str, most: int, end: int) -> str:
    """Leave the middle of a name out, or what follows its beginning if no ``end`` is kept."""
    if len(name) <= most:
        return name
    return name[: most - 1 - end] + "…" + name[len(name) - end :]


def bare(axes: Axes, frame: str | None = None) -> None:
    """Take grid, tick marks and frame from axes that hold a map.

    Args:
        axes: the axes.
        frame: colour of the frame; ``None``: there is none.
    """
    axes.grid(False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(frame is not None)
        if frame is not None:
            spine.set_color(frame)


def tick_rotation(count: int) -> dict[str, Any]:
    """Return settings that turn so many names below an axis that they do not overlap."""
    if count <= 4:
        return {}
    if count <= 12:
        return {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    return {"rotation": 90}


def _saved(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
    data = io.BytesIO()
    families = make_drawable(figure)
    with style(), mpl.rc_context({"font.sans-serif": [OWN, *families]}):
        figure.savefig(data, format=form, metadata=metadata)
    return data.getvalue()
