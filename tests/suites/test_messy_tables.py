"""Tables as people and programs leave them: read right, told, or refused with the remedy."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mtl_suites.class_hints import class_hints, folder_hints
from mtl_suites.kinds import guess_column
from mtl_suites.table import table
from PIL import Image

from mtl_framework.data.tasks import Classification, Suite
from mtl_framework.support.errors import MtlError, ProblemsError

COUNT = 16
HEADER = ["image", "split", "colour", "w"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("messy")
    (root / "img").mkdir()
    for n in range(COUNT):
        Image.fromarray(np.full((4, 4, 3), 9 * n, np.uint8)).save(root / "img" / f"{n}.png")
    return root


def rows() -> list[list[str]]:
    """Colours and decimals of all pictures."""
    return [
        [f"img/{n}.png", ("train", "train", "val", "test")[n % 4], "rg"[n // 4 % 2], f"{n}.25"]
        for n in range(COUNT)
    ]


def lines(cells: list[list[str]]) -> list[str]:
    return [",".join(row) for row in cells]


def read(root: Path, text: list[str] | bytes, name: str = "t.csv", **options: object) -> Suite:
    content = text if isinstance(text, bytes) else "\n".join(text).encode()
    (root / name).write_bytes(content)
    return table(path=name, data_root=str(root), **options)  # type: ignore[arg-type]


def targets(suite: Suite) -> list[list[float]]:
    return [examples.targets.flatten().tolist() for task in suite.tasks for examples in
            task.splits().values()]  # fmt: skip


PLAIN = lines([HEADER, *rows()])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ([PLAIN[0], *(f"{line}," for line in PLAIN[1:])], "1 empty cell at the end of every row"),
        ([PLAIN[0], PLAIN[1], ",,,", *PLAIN[2:], ",,,"], "2 rows without any cell: left out"),
        ([", ".join(f'"{c}"' for c in line.split(",")) for line in PLAIN], ""),
        ([PLAIN[0].replace("w", '"w\n(kg)"'), *PLAIN[1:]], "w (kg): numbers"),
        ([PLAIN[0], *(re.sub(r",([rg]),", r',"=""\1""",', x) for x in PLAIN[1:])],
         '16 cells like ="r" read as the text in quotes'),
        ([f"{PLAIN[0]},note", *(f"{x},{'n' * (200_000 if n == 3 else n + 1)}"
          for n, x in enumerate(PLAIN[1:]))], "'note' has another text in each of 16 rows"),
    ],
)  # fmt: skip
def test_what_programs_leave_in_tables_changes_nothing(
    pictures: Path, text: list[str], told: str
) -> None:
    suite = read(pictures, text)
    assert targets(suite) == targets(read(pictures, PLAIN))
    assert told in "\n".join(suite.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (["Report of 2024,,,", *PLAIN], "names of the columns seem to stand in line 2 ('image', "),
        (["# by me", "# 2024, 1", *PLAIN], "seem to stand in line 3 ('image', 'split', "),
        ([PLAIN[0], *(f"{line},x" for line in PLAIN[1:])], "16 times: has 5 cells, expected 4"),
        ([line.replace(",", " ") for line in PLAIN], "its cells seem to be separated by blanks"),
        ([line.replace(",", "::") for line in PLAIN], "cells seem to be separated by '::'"),
        ([line.replace(",", "^") for line in PLAIN], "separated by '^', e.g. 'image^"),
        ([f"img/{n}.png {n % 3}" for n in range(COUNT)], "separated by blanks, e.g. 'img/0.png 0'"),
        ([*PLAIN[:3], PLAIN[3].replace(",g", ',"g').replace(",r", ',"r'), *PLAIN[4:]],
         "the row that begins in line 4: a quote"),
        ([*PLAIN[:3], PLAIN[3].replace(",r", ",r\0"), *PLAIN[4:]], "t.csv:4 holds a NUL"),
        ([f"{line},{line[-1]}" if n else f"{line},," for n, line in enumerate(PLAIN)][:1]
         + [f"{line},a,b" for line in PLAIN[1:]], "two columns have no name"),
        ([PLAIN[0], *(f"{x[:-3]}.{x[-2:]}e40" for x in PLAIN[1:])], "range of single precision"),
        ([PLAIN[0], *(re.sub(r"[0-9]+\.25$", "." if n % 5 == 1 else f"{n}.5", x)
          for n, x in enumerate(PLAIN[1:]))], "found '.'; where that means no label: "
         "suite.missing.w=."),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place_and_a_remedy(
    pictures: Path, text: list[str], message: str
) -> None:
    kinds = {"w": "numbers"} if "single precision" in message else {}
    with pytest.raises((MtlError, ProblemsError)) as refused:
        read(pictures, text, kinds=kinds)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", b'[{"image": "a"}]', r"pandas.read_json\('t.json'\).to_csv"),
        ("t.jsonl", b'{"image": "a"}\n', r"lines=True"),
        ("t.html", b"<!DOCTYPE html><html>Sign in</html>", "is a web page"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("t.feather", b"ARROW1\0\0", r"pandas.read_feather"),
        ("t.tar", b"a" * 257 + b"ustar\0", r"is an archive \(tar\).*unpack it"),
        ("t.mat", b"MATLAB 5.0 MAT-file", "the suite 'arrays' reads it"),
        ("img", b"", "is a folder"),
    ],
)
def test_other_kinds_of_files_are_named(
    pictures: Path, name: str, content: bytes, message: str
) -> None:
    if name != "img":
        (pictures / name).write_bytes(content)
    with pytest.raises(MtlError, match=message):
        table(path=name, data_root=str(pictures))


@pytest.mark.parametrize(
    ("name", "cell", "remark"),
    [
        ("price", lambda n: f"${n}.50", "such as '$0.50': write numbers without signs, units"),
        ("price", lambda n: f"\u2212{n}.5", "such as '\u22120.5': write numbers without signs"),
        ("price", lambda n: f"{1000 + n:,}", "such as '1,000': write numbers without"),
        ("image_id", lambda n: str(17 * n % 1009), "another number in every row, as an id does"),
        ("userId", lambda n: str(17 * n % 1009), "another number in every row, as an id does"),
        ("fold", lambda n: str(n % 5), "seems to number folds"),
        ("is_valid", lambda n: str(n % 2 == 0), "seems to say the split"),
        ("source", lambda n: "web", "says 'web' in every row"),
        ("day", lambda n: f"202401{n % 28 + 1:02d}", "holds dates (e.g. 20240101)"),
        ("day", lambda n: f"{n % 12 + 1}/{n % 28 + 1}/24", "holds dates (e.g. 1/1/24)"),
        ("day", lambda n: f"Jan {n % 28 + 1}, 2024", "holds dates (e.g. Jan 1, 2024)"),
        ("at", lambda n: f"{n % 24}:30", "holds times (e.g. 0:30)"),
    ],
)
def test_columns_that_are_no_task(name: str, cell: Callable[[int], str], remark: str) -> None:
    guess = guess_column(name, [cell(n) for n in range(40)])
    assert guess.kind is None
    assert remark in guess.remark
    assert "left out" in guess.remark


def test_classes_that_may_be_mistakes_are_told() -> None:
    assert class_hints("c", ["cat", "dog", "-1", "1", "1-2"]) == []
    assert class_hints("c", ["Cat", "cat", "dog"]) == ["c: classes that look alike: 'Cat', 'cat'"]
    look_alike = class_hints("c", ["caf\u00e9", "cafe\u0301", "ca\u200bt", "cat"])
    assert look_alike == [
        "c: classes that look alike: 'caf\\xe9', 'cafe\\u0301'",
        "c: classes that look alike: 'ca\\u200bt', 'cat'",
    ]
    assert class_hints("a.b", ["x", "--"]) == [
        "a.b: class '--' may mean that there is no label: 'suite.missing.\"a.b\"=--' says so"
    ]
    assert 'suite.missing."say \\"no\\""=unknown' in class_hints('say "no"', ["x", "unknown"])[0]
    for several in ("Mass|Edema", "['Mass', 'Edema']"):
        assert "may be several labels" in class_hints("c", ["Mass", several])[0]
    assert "are taken for two classes" in folder_hints("d", ["images", "masks"])[0]
    assert folder_hints("d", ["cat", "dog"]) == []


def test_errors_of_spreadsheets_are_no_label(pictures: Path) -> None:
    cells = rows()
    cells[4][2], cells[9][2] = "#DIV/0!", "#REF!"
    suite = read(pictures, lines([HEADER, *cells]))
    assert suite.tasks[0].objective == Classification(2, ("g", "r"))
    assert "'#DIV/0!' (1 time), '#REF!' (1 time) taken as no label" in "\n".join(suite.notes)


def test_numbers_that_single_precision_rounds_are_told(pictures: Path) -> None:
    cells = [[*row[:3], f"{1_000_000_000 + n}.5"] for n, row in enumerate(rows())]
    notes = "\n".join(read(pictures, lines([HEADER, *cells])).notes)
    assert "w: numbers, 1000000000.5 to 1000000015.5," in notes
    assert "single precision rounds numbers near 1000000008 to 64" in notes
    same = [[*row[:3], "-999" if n % 5 == 2 else row[3]] for n, row in enumerate(rows())]
    notes = "\n".join(read(pictures, lines([HEADER, *same])).notes)
    assert "Where -999 means no label: suite.missing.w=-999" in notes


@pytest.mark.parametrize(("classes", "sizes"), [(8, (8, 0, 8)), (5, (8, 3, 5)), (2, (10, 3, 3))])
def test_default_sizes_give_way_to_one_example_a_class(
    pictures: Path, classes: int, sizes: tuple[int, int, int]
) -> None:
    cells = [[f"img/{n}.png", f"c{n % classes}", f"d{(n // 2) % classes}"] for n in range(COUNT)]
    for columns in (2, 3):
        text = lines([["image", "c", "d"][:columns], *(row[:columns] for row in cells)])
        splits = read(pictures, text).tasks[0].splits()
        counts = tuple(
            len(splits[s]) if s in splits else 0 for s in ("train", "validation", "test")
        )
        assert counts == sizes
        for split in ("train", "test"):
            assert len(splits[split].targets.unique()) == classes
    with pytest.raises(MtlError, match="test_per_task should be at least"):
        read(pictures, lines([["image", "c"], *(row[:2] for row in cells)]), test_per_task=1)


def test_paths_of_windows_are_read_with_slashes(pictures: Path) -> None:
    cells = [[row[0].replace("/", "\\"), *row[1:]] for row in rows()]
    suite = read(pictures, lines([HEADER, *cells]))
    assert targets(suite) == targets(read(pictures, PLAIN))
    assert suite.tasks[0].train.names == read(pictures, PLAIN).tasks[0].train.names
    assert any("are read with slashes: 16" in note for note in suite.notes)
