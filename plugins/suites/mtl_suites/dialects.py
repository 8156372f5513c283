"""Tables in text files have different encodings and separators, which are recognised here."""

import csv
import io
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl_framework import MtlError

from .faults import Faults, listed
from .foreign import foreign
from .options import counted

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_LOOKED_AT = 50  # rows that are read to tell what separates cells
_TOP = 10  # rows that are read to tell where the names of the columns stand
_KEPT = re.compile(r'="((?:[^"]|"")*)"')


@dataclass(frozen=True)
class TextRows:
    """This class holds the rows of a text file.

    Args:
        names: names of the columns.
        rows: for every row the number of its line, its number in the file from 0, and its cells.
        remarks: lines that tell a user how the file was read.
        delimiter: character between cells; empty for a file that is not text.
        count: number of all rows in the file, also of those that are left out.
    """

    names: list[str]
    rows: list[tuple[int, int, list[str]]]
    remarks: list[str]
    delimiter: str
    count: int


def read_text(path: Path, encoding: str | None, wanted: Container[str], faults: Faults) -> TextRows:
    """Read a text file with commas, semicolons, tabs or vertical bars between cells.

    Args:
        path: path of the file.
        encoding: encoding of the file; ``None`` recognises UTF-8, UTF-16, UTF-32 and Latin-1.
        wanted: names of columns, one of which a right header has.
        faults: the collection that gets rows with more or fewer cells than the header.

    Raises:
        MtlError: if it is another kind of file, or in another encoding.
        OSError: if the file cannot be read.
    """
    text, remarks = decoded(path, path.read_bytes(), encoding)
    told = re.match(r"sep=(.)\r?\n", text)  # what Excel writes and reads, and nobody else
    text = text[told.end() :] if told else text
    delimiter = told[1] if told else _delimiter(text, path, wanted)
    read = _cells(text, delimiter, path, int(told is not None))
    _, header = next(read, (1, []))
    names = [" ".join(name.split()) for name in header]
    lines = [(n, line, cells) for n, (line, cells) in enumerate(read)]
    more = _cut_ends(names, [cells for _, _, cells in lines])
    if more:
        remarks.append(f"{path}: {counted(more, 'empty cell')} at the end of every row: left out")
    rows, empty = [], 0
    for position, line, cells in lines:
        if len(cells) == len(names) and not any(cells):
            empty += 1
        elif len(cells) == len(names):
            rows.append((line, position, cells))
        else:
            content = listed([repr(cell) for cell in cells])
            faults.add(
                f"{path}:{line}",
                f"has {counted(len(cells), 'cell')}, expected {len(names)}: {content}",
            )
    if empty:
        remarks.append(f"{path}: {counted(empty, 'row')} without any cell: left out")
    _check_top(path, names, [(line, cells) for _, line, cells in lines[:_TOP]], wanted)
    if delimiter != ("\t" if path.suffix.lower() == ".tsv" else ","):
        remarks.append(f"{path}: cells are separated by {DELIMITERS.get(delimiter, delimiter)}")
    remarks += _as_excel_shows(path, rows)
    return TextRows(names, rows, remarks, delimiter, len(lines))


def _cells(text: str, delimiter: str, path: Path, before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of its last line and the stripped cells of every row that is not blank.

    Raises:
        MtlError: if a quote is not closed, or the text holds a NUL.
    """
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1 + before
        raise MtlError(f"{path}:{line} holds a NUL: the file is damaged, or in another encoding")
    usual = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    begin = 1 + before
    try:
        for row in reader:
            if row:
                yield reader.line_num + before, [cell.strip() for cell in row]
            begin = reader.line_num + 1 + before
    except csv.Error as error:
        raise MtlError(
            f'{path}: cannot read the row that begins in line {begin}: a quote (") that is not '
            f"closed, or stands alone ({error})"
        ) from error
    finally:
        csv.field_size_limit(usual)


def _cut_ends(names: list[str], rows: Sequence[list[str]]) -> int:
    """Cut off empty cells that every row has beyond the header, and return how many there were.

    Delimiters behind the last cell make them: ``a;b`` as header, ``1;2;`` and ``3;4;`` as rows.
    """
    more = len(rows[0]) - len(names) if rows else 0
    if more < 1 or any(len(cells) != len(rows[0]) or any(cells[-more:]) for cells in rows):
        return 0
    for cells in rows:
        del cells[-more:]
    return more


def _check_top(
    path: Path,
    names: Sequence[str],
    lines: Sequence[tuple[int, Sequence[str]]],
    wanted: Container[str],
) -> None:
    """Refuse a file with a title or comments above the row that names the columns."""
    title = sum(map(bool, names)) < 2 or names[0].startswith("#")
    if not title or any(name in wanted for name in names):
        return
    for line, cells in lines:
        if any(cell in wanted for cell in cells) or (
            len(names) > 1 and len(cells) == len(names) and all(cells)
        ):
            shown = listed([repr(cell) for cell in cells])
            raise MtlError(
                f"{path}: the names of the columns seem to stand in line {line} ({shown}): delete "
                "the lines above it"
            )


def _as_excel_shows(path: Path, rows: Sequence[tuple[int, int, list[str]]]) -> list[str]:
    """Replace cells like ``="01"``, which keep digits as text in Excel, by ``01``, and say so."""
    count, example = 0, ""
    for _, _, cells in rows:
        for n, cell in enumerate(cells):
            if cell.startswith("=") and (kept := _KEPT.fullmatch(cell)):
                count, example = count + 1, example or cell
                cells[n] = kept[1].replace('""', '"').strip()
    if not count:
        return []
    return [f"{path}: {counted(count, 'cell')} like {example} read as the text in quotes"]


def decoded(path: Path, content: bytes, encoding: str | None) -> tuple[str, list[str]]:
    """Decode a text, and return lines on what was guessed.

    Args:
        path: path of the file, for messages.
        content: bytes of the file.
        encoding: encoding of the file; ``None`` recognises it.

    Raises:
        MtlError: if it is no text, or in another encoding.
    """
    if other := foreign(content, path):
        raise MtlError(f"{path} is {other.what}, and no table of text: {other.as_table}")
    if encoding is None:
        encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if encoding is None and content[:400].count(0) >= len(content[:400]) // 4 > 0:
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        return content.decode(encoding or "utf-8"), []
    except LookupError:
        raise MtlError(
            f"suite.encoding: Python has no encoding {encoding!r}; utf-8, utf-16, cp1252, gbk and "
            "shift_jis are some"
        ) from None
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise MtlError(f"{path} is no text in {encoding}: {error.reason}") from None
    return _western(path, content)


def _western(path: Path, content: bytes) -> tuple[str, list[str]]:
    """Decode Latin-1 as Windows writes it (cp1252), and return a line that says so.

    In such texts most letters beyond ASCII stand between ASCII letters. If most stand side by side,
    the file is in another encoding, and refused.
    """
    high = len(re.findall(rb"[\x80-\xff]", content))
    together = sum(map(len, re.findall(rb"[\x80-\xff]{2,}", content)))
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    if not text or 2 * together > high:
        raise MtlError(
            f"{path} is not in UTF-8; save it so, or name its encoding, e.g. suite.encoding=gbk"
        )
    word = re.search(r"\w*[^\x00-\x7f]\w*", text)
    example = f", e.g. {word[0]!r}" if word else ""
    remark = f"{path}: not UTF-8, read as Latin-1 (cp1252){example}; suite.encoding names another"
    return text, [remark]


def _delimiter(text: str, path: Path, wanted: Container[str]) -> str:
    """Return the delimiter that fits best.

    A wanted name in the header counts most, then the share of rows with as many cells as the
    header, then the number of columns.
    """
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    best, most = usual, (False, 0.0, 0)
    for delimiter in dict.fromkeys([usual, *DELIMITERS]):
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
        )
        try:
            names, *rows = [row for row, _ in zip(reader, range(_LOOKED_AT), strict=False) if row]
        except (ValueError, csv.Error):
            continue
        alike = sum(len(row) == len(names) for row in rows) / max(1, len(rows))
        known = any(name.strip() in wanted for name in names)
        score = (known, alike if len(names) > 1 else 0.0, len(names))
        if score > most:
            best, most = delimiter, score
    return best
