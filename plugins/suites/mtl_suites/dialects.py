"""Text files that hold a table: their encoding, what stands between cells, and their rows."""

import csv
import io
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from mtl_framework import MtlError

from .faults import Faults, listed

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_FOREIGN = (
    (b"PK\x03\x04", "an Excel or OpenDocument file, or an archive", "save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file", "save the sheet as CSV UTF-8"),
    (b"\x1f\x8b", "compressed by gzip", "decompress it"),
    (b"%PDF", "a PDF file", "save the table as CSV UTF-8"),
    (b"SQLite format 3", "a database", "save the table as CSV UTF-8"),
)
_LOOKED_AT = 50  # rows, to tell what separates cells


@dataclass(frozen=True)
class TextRows:
    """What a text file holds.

    Args:
        names: of the columns.
        rows: number of the line, position in the file from 0, and cells of every row.
        remarks: what a user should know of how the file was read, one line each.
        delimiter: what stands between cells.
    """

    names: list[str]
    rows: list[tuple[int, int, list[str]]]
    remarks: list[str]
    delimiter: str


def read_text(path: Path, encoding: str | None, wanted: Container[str], faults: Faults) -> TextRows:
    """A CSV file: commas, semicolons, tabs or vertical bars; UTF-8, UTF-16 or Latin-1.

    Args:
        path: of the file.
        encoding: of its texts; ``None``: by its mark, else UTF-8, else Latin-1.
        wanted: names that a right header has.
        faults: gets rows with more or fewer cells than the header.

    Raises:
        MtlError: if it is another kind of file, or is in no such encoding.
        OSError: if it cannot be read.
    """
    text, remarks = _decoded(path, path.read_bytes(), encoding)
    told = re.match(r"sep=(.)\r?\n", text)  # what Excel writes and reads, and nobody else
    text = text[told.end() :] if told else text
    delimiter = told[1] if told else _delimiter(text, path, wanted)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = [name.strip() for name in next(reader, [])]
    rows = []
    for position, cells in enumerate(row for row in reader if row):
        line = reader.line_num + (told is not None)
        if len(cells) == len(names):
            rows.append((line, position, [cell.strip() for cell in cells]))
        else:
            content = listed([repr(cell) for cell in cells])
            faults.add(
                f"{path}:{line}", f"has {len(cells)} cells, expected {len(names)}: {content}"
            )
    if delimiter != ("\t" if path.suffix.lower() == ".tsv" else ","):
        remarks.append(f"{path}: cells are separated by {DELIMITERS.get(delimiter, delimiter)}")
    return TextRows(names, rows, remarks, delimiter)


def _decoded(path: Path, content: bytes, encoding: str | None) -> tuple[str, list[str]]:
    for signature, what, remedy in _FOREIGN:
        if content.startswith(signature):
            raise MtlError(f"{path} is {what}, and no table of text: {remedy}")
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
    """Latin-1 as Windows writes it, where letters beyond ASCII stand alone, as they do there."""
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
    """What gives most rows as many cells as the header, and the header names that are wanted."""
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    best, most = usual, (False, 0.0, 0)
    for delimiter in dict.fromkeys([usual, *DELIMITERS]):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
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
