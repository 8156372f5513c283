"""A terminal shows texts as they are, and tables that fit its width.

Names come from data and plugins. Nothing in them is taken as markup or as an emoji's code, and
control characters, with which a text could move the cursor or change the terminal's title, are
written out instead of sent.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

# C0 but for the line end, DEL, C1; and what turns the direction of the text that follows
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_FLEXIBLE = 24  # columns that a column of prose should have at least
_GAP = 2


class PlainConsole(Console):
    """A console that shows every text as it is.

    Args:
        show_test: whether figures of test examples may be shown while a run trains.
        log: a text file that gets every line as well, without colours.
        options: options of rich's console.

    Attributes:
        notebook: whether the console writes below a notebook's cell, where progress is no
            terminal's.
    """

    notebook = False

    def __init__(
        self, *, show_test: bool = False, log: "Console | None" = None, **options: Any
    ) -> None:
        self.show_test = show_test
        self.log_console = log
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *things: Any, **options: Any) -> None:
        """Print as rich does, and write the same into the log."""
        super().print(*things, **options)
        if self.log_console is not None:
            self.log_console.print(*things, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, with control characters of texts written out."""
        for segment in super().render(renderable, options):
            if segment.control or not _CONTROLS.search(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def printable(text: str) -> str:
    """Return a text with its control characters written out, e.g. ``\x1b`` for an escape."""
    return _CONTROLS.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def duration(seconds: float) -> str:
    """Write a duration in words, e.g. ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


@dataclass(frozen=True)
class Column:
    """This describes a column of :func:`fitted_table`.

    Args:
        name: heading of the column.
        right: whether the cells are aligned to the right, as numbers are.
        importance: 0 keeps the column always; of the others those with the highest numbers are left
            out first where the terminal is narrow.
        prose: whether the cells may be folded between words; cells of other columns never are.
        style: rich's style of the cells.
    """

    name: str
    right: bool = False
    importance: int = 0
    prose: bool = False
    style: str = ""


def fitted_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], width: int, **options: Any
) -> RenderableType:
    """Make a table no wider than ``width`` in which names and numbers are whole.

    Columns that do not fit are left out, the least important ones first, and named below. Where
    even the most important ones do not fit, their names are folded.

    Args:
        columns: the columns from left to right.
        rows: for each row its cells, one for every column.
        width: width of the terminal in characters.
        options: options of :class:`rich.table.Table`.
    """
    widths = [_natural(column, [row[n] for row in rows]) for n, column in enumerate(columns)]
    shown = list(range(len(columns)))
    left_out: list[int] = []
    while _total(widths, shown) > width:
        least = max(shown, key=lambda n: (columns[n].importance, n))
        if columns[least].importance == 0:
            break
        shown.remove(least)
        left_out.append(least)
    fits = _total(widths, shown) <= width
    table = Table(box=None, pad_edge=False, header_style="bold", **options)
    for n in shown:
        column = columns[n]
        justify: Literal["right", "left"] = "right" if column.right else "left"
        whole = fits and not column.prose
        table.add_column(
            Text(column.name), justify=justify, style=column.style, no_wrap=whole,
            overflow="fold", min_width=widths[n] if whole else None,
        )  # fmt: skip
    for row in rows:
        table.add_row(*(_as_text(row[n]) for n in shown))
    named = (" ".join(columns[n].name.split()) for n in sorted(left_out))
    names = ", ".join(name for name in named if name)
    if not names:
        return table
    return Group(table, Text(f"left out, as the terminal is narrow: {names}", style="dim"))


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[n] for n in shown) + _GAP * (len(shown) - 1)


def _natural(column: Column, cells: Iterable[str | Text]) -> int:
    texts = [column.name, *(str(cell) for cell in cells)]
    widest = max(cell_len(line) for text in texts for line in (text.split("\n") or [""]))
    return min(widest, max(_FLEXIBLE, cell_len(column.name))) if column.prose else widest


def _as_text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)
