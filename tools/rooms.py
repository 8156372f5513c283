"""Draws which room of the framework imports which: docs/images/rooms.svg, shown in CONTRIBUTING.md.

    python tools/rooms.py

Rooms and their order are those of the contract "Rooms import downwards only" in pyproject.toml,
what each is for is the first sentence of its docstring, and imports are read from the code.
"""

import ast
import re
import textwrap
import tomllib
from pathlib import Path

import grimp

from mtl_framework.plotting import INK, MUTED, colour_of, new_figure, style, svg

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
PACKAGE = "mtl_framework"


def rooms() -> list[str]:
    """The rooms from top to bottom."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (c["layers"] for c in settings["contracts"] if c.get("containers") == [PACKAGE])
    return list(layers)


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    place = ROOT / PACKAGE / room
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = " ".join((ast.get_docstring(ast.parse(file.read_text())) or "").split())
    return re.split(r"(?<=\.) ", text)[0].replace("``", "")


def imports(names: list[str]) -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second, also for type checkers only."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found = set()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            pair = tuple(module.split(".")[1] for module in (importer, imported) if "." in module)
            if len(pair) == 2 and pair[0] != pair[1] and set(pair) <= set(names):
                found.add((pair[0], pair[1]))
    return found


def draw(names: list[str], pairs: set[tuple[str, str]]) -> str:
    """A row for every room, with a dot under each room that it imports."""
    with style():
        figure = new_figure(10.4, 0.46 * len(names) + 1.1)
        axes = figure.add_subplot()
        for row, room in enumerate(names):
            axes.text(-12.6, row, room, weight="bold", va="center", color=INK)
            text = "\n".join(textwrap.wrap(purpose(room), 58))
            axes.text(-9.9, row, text, va="center", fontsize=7.5, color=INK, linespacing=1.15)
            axes.plot([-0.6, len(names) - 0.4], [row, row], color=MUTED, lw=0.4, zorder=0)
            axes.text(row, -0.75, room, rotation=50, ha="left", va="bottom", color=INK)
            axes.plot([row, row], [-0.6, len(names) - 0.4], color=MUTED, lw=0.4, zorder=0)
            axes.plot(row, row, marker="s", ms=5, color=MUTED)
        for importer, imported in pairs:
            axes.plot(
                names.index(imported), names.index(importer), "o", ms=8, color=colour_of(0), mew=0
            )
        axes.set_xlim(-12.8, len(names) + 0.9)
        axes.set_ylim(len(names) - 0.3, -3.2)
        axes.axis("off")
        axes.text(
            -12.6, -1.2, "A room imports those with a dot in its row; all lie below it.", color=INK
        )
        drawn = svg(figure)
    known = " ".join(f"{importer}>{imported}" for importer, imported in sorted(pairs))
    return drawn.replace("</svg>", f"<!-- imports: {known} -->\n</svg>")


def shown(picture: str) -> set[tuple[str, str]]:
    """The pairs that a drawn picture shows."""
    marked = re.search(r"<!-- imports: (.*?) -->", picture)
    assert marked is not None
    return {(a, b) for a, _, b in (pair.partition(">") for pair in marked[1].split())}


def main() -> None:
    """Write the picture."""
    names = rooms()
    PICTURE.write_text(draw(names, imports(names)))
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
