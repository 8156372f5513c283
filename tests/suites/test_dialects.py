"""Tables written in many dialects come back as the same suite, or are refused with the reason."""

import csv
import io
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from mtl_suites.table import table
from PIL import Image

from mtl_framework.data.tasks import Binary, Classification, Regression, Suite
from mtl_framework.support.errors import MtlError, ProblemsError

COUNT = 24
SPLITS = ["train", "train", "train", "validation", "test", "test"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dialects")
    (root / "img").mkdir()
    for n in range(COUNT):
        Image.fromarray(np.full((4, 4, 3), 10 * n, np.uint8)).save(root / "img" / f"{n}.png")
    return root


def rows(names: tuple[str, str] = ("rot", "grün")) -> list[list[str]]:
    """A header and rows: paths, splits, classes, a binary column with gaps, decimals."""
    return [
        ["image", "split", "colour", "indoors", "weight"],
        *(
            [
                f"img/{n}.png",
                SPLITS[n % 6],
                names[n // 6 % 2],
                "" if n % 5 == 1 else str(n // 6 % 2),
                f"{n / 4 + 0.25:.2f}",
            ]
            for n in range(COUNT)
        ),
    ]


def read(folder: Path, name: str = "t.csv", **options: Any) -> Suite:
    return table(path=name, data_root=str(folder), **options)


def content(suite: Suite) -> dict[str, Any]:
    return {
        task.name: (
            task.objective,
            {
                split: (
                    torch.as_tensor(examples.inputs)[:, 0, 0, 0].tolist(),
                    examples.targets.tolist(),
                    None if examples.labelled is None else examples.labelled.tolist(),
                )
                for split, examples in task.splits().items()
            },
        )
        for task in suite.tasks
    }


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, Any]:
    encodings = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
    return {
        "encoding": draw(st.sampled_from(encodings)),
        "delimiter": draw(st.sampled_from(",;\t|")),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "told": draw(st.booleans()),
        "blank": draw(st.integers(0, 2)),
        "columns": draw(st.permutations(range(5))),
        "comma": draw(st.booleans()),
        "padding": draw(st.sampled_from(["", " "])),
        "extra": draw(st.booleans()),
    }


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(
    dialects(),
    st.lists(
        st.text("abé1 ,;|\"'=+[]{}@x", min_size=2, max_size=6)
        .map(lambda text: f"x{text}y")
        .filter(lambda text: "éé" not in text),
        min_size=2,
        max_size=2,
        unique=True,
    ),
)
def test_tables_written_in_many_dialects_are_the_same_suite(
    pictures: Path, dialect: dict[str, Any], names: list[str]
) -> None:
    plain = rows((names[0], names[1]))
    with (pictures / "plain.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(plain)
    expected = content(read(pictures, "plain.csv"))
    separator = dialect["delimiter"]
    other = [list(row) for row in plain]
    if dialect["comma"] and separator != ",":
        other = [[*row[:4], row[4].replace(".", ",")] for row in other]
    other = [[row[n] for n in dialect["columns"]] for row in other]
    if dialect["padding"] and dialect["quoting"] == csv.QUOTE_MINIMAL:
        quoted = set(f'"{separator}')
        other = [
            [cell if set(cell) & quoted else f"{cell} " for cell in row] for row in other
        ]  # a blank behind a cell is none of it
    if dialect["extra"]:  # as spreadsheets leave a column without a name or a value
        other = [[*row, ""] for row in other]
    text = io.StringIO(newline="")
    end = dialect["lineterminator"]
    if dialect["told"]:
        text.write(f"sep={separator}{end}")
    csv.writer(text, delimiter=separator, lineterminator=end, quoting=dialect["quoting"]).writerows(
        other
    )
    text.write(end * dialect["blank"])
    (pictures / "other.csv").write_bytes(text.getvalue().encode(dialect["encoding"]))
    suite = read(pictures, "other.csv")
    assert set(suite.task_names) == set(expected)
    assert content(suite) == {name: expected[name] for name in suite.task_names}


def test_the_plain_table_is_what_it_says(pictures: Path) -> None:
    with (pictures / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows())
    suite = read(pictures)
    colour, indoors, weight = (task.objective for task in suite.tasks)
    assert colour == Classification(2, ("grün", "rot"))
    assert indoors == Binary()
    assert isinstance(weight, Regression)
    train = suite.tasks[0].train
    numbers = [n for n in range(COUNT) if SPLITS[n % 6] == "train"]
    assert torch.as_tensor(train.inputs)[:, 0, 0, 0].tolist() == [10 * n for n in numbers]
    assert train.targets.tolist() == [1 - n // 6 % 2 for n in numbers]


def write(folder: Path, lines: list[list[str]]) -> None:
    (folder / "t.csv").write_text("\n".join(",".join(line) for line in lines), encoding="utf-8")


def test_the_columns_of_pictures_and_splits_are_known_by_what_they_hold(pictures: Path) -> None:
    write(pictures, rows())
    expected = content(read(pictures))
    header, *lines = rows()
    for names in (["filename", "Set"], ["Path", "subset"], ["image_id", "Usage"]):
        write(pictures, [[*names, *header[2:]], *lines])
        suite = read(pictures)
        assert content(suite) == expected
        told = "\n".join(suite.notes)
        assert f"column {names[0]!r} holds the names of the pictures" in told
        assert f"column {names[1]!r} names splits, and is read so" in told
        assert content(read(pictures, tasks=["colour"])) == {"colour": expected["colour"]}
    kept = read(pictures, kinds={"Usage": "classes"})
    assert "Usage" in kept.task_names
    with pytest.raises(MtlError, match=r"column for suite\.split: 'sett'"):
        read(pictures, split="sett")
    assert "Usage" in read(pictures, split="").task_names


def test_names_of_pictures_need_no_suffix_and_folders_are_named(pictures: Path) -> None:
    write(pictures, rows())
    expected = content(read(pictures))
    header, *lines = rows()
    bare = [[Path(line[0]).with_suffix("").as_posix(), *line[1:]] for line in lines]
    write(pictures, [header, *bare])
    suite = read(pictures)
    assert content(suite) == expected
    assert "read with that of their file: .png (24)" in "\n".join(suite.notes)
    write(pictures, [header, *([Path(line[0]).name, *line[1:]] for line in lines)])
    with pytest.raises(
        MtlError, match=r"e\.g\. '0\.png', but .*img has: set suite.images_root=img"
    ):
        read(pictures)
    assert content(read(pictures, images_root="img")) == expected


def test_columns_without_a_value_are_left_out_with_a_line(pictures: Path) -> None:
    write(pictures, [[*row, "", "nan" if n else "notes"] for n, row in enumerate(rows())])
    suite = read(pictures)
    assert suite.task_names == ("colour", "indoors", "weight")
    told = "\n".join(suite.notes)
    assert "column '' has no value in any row: left out" in told
    assert "column 'notes' has no value in any row: left out" in told
    with pytest.raises(ProblemsError, match="column 'notes' has no label at all"):
        read(pictures, tasks=["notes", "colour"])


def test_codes_for_splits_are_refused_with_what_they_are(pictures: Path) -> None:
    codes = {"train": "0", "validation": "1", "test": "2"}
    header, *lines = rows()
    write(pictures, [header, *([line[0], codes[line[1]], *line[2:]] for line in lines)])
    with pytest.raises(ProblemsError, match="column 'split': unknown split '0'") as caught:
        read(pictures)
    assert any("no train split" in problem for problem in caught.value.problems)


TYPES = st.sampled_from(["plain", "dictionary", "large", "nullable"])


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kinds=st.lists(TYPES, min_size=5, max_size=5),
    order=st.permutations(range(5)),
    groups=st.integers(1, COUNT),
    compression=st.sampled_from(["none", "snappy", "gzip", "zstd"]),
    index=st.booleans(),
)
def test_a_parquet_file_of_any_types_is_the_same_suite_as_text(
    pictures: Path, kinds: list[str], order: list[int], groups: int, compression: str, index: bool
) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    header, *cells = rows()
    (pictures / "t.csv").write_text("\n".join(",".join(row) for row in [header, *cells]))
    columns: dict[str, Any] = {}
    for n in order:
        texts = [row[n] for row in cells]
        if header[n] == "weight":
            values: list[Any] = [float(text) for text in texts]
            array = arrow.array(values, arrow.float32() if kinds[n] == "large" else arrow.float64())
        elif header[n] == "indoors":  # whole numbers with gaps, as pandas writes them: floats
            truths = kinds[n] == "dictionary"
            kind = bool if truths else int
            values = [kind(int(text)) if text else None for text in texts]
            whole = arrow.bool_() if truths else arrow.int8()
            array = arrow.array(values, arrow.float64() if kinds[n] == "plain" else whole)
        else:
            array = arrow.array(
                texts, arrow.large_string() if kinds[n] == "large" else arrow.string()
            )
            array = array.dictionary_encode() if kinds[n] == "dictionary" else array
        columns[header[n]] = array
    if index:
        columns["__index_level_0__"] = arrow.array(range(7, 7 + len(cells)))
    parquet.write_table(
        arrow.table(columns), pictures / "t.parquet", row_group_size=groups, compression=compression
    )
    assert content(read(pictures, "t.parquet")) == content(read(pictures))


WORDS = st.text(
    st.characters(whitelist_categories=("Lu", "Ll", "Nd", "Po", "Sm")), min_size=1, max_size=5
).map(lambda word: f"x{word}")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(marker=WORDS, for_all=st.booleans(), keep=st.sampled_from(["", "none", "NA"]))
def test_any_text_can_mean_no_label_and_any_marker_can_be_a_class(
    pictures: Path, marker: str, for_all: bool, keep: str
) -> None:
    header, *cells = rows()
    gone = [row for row in range(COUNT) if row % 7 == 3]
    marked = [[*row] for row in cells]
    for row in gone:
        marked[row][2] = marker
    kept = [[*row] for row in cells]
    for row in gone:
        kept[row][2] = ""
    options: dict[str, Any] = {"missing": [marker] if for_all else {"colour": [marker]}}
    if keep:  # a marker that is a class here: in the place of the second one
        for table_rows in (marked, kept):
            for line in table_rows:
                line[2] = keep if line[2] == "grün" else line[2]
        options["not_missing"] = [keep] if for_all else {"colour": [keep]}
    for name, lines in (("m.csv", marked), ("k.csv", kept)):
        with (pictures / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *lines])
    there = read(pictures, "m.csv", **options)
    same = {key: value for key, value in options.items() if key == "not_missing"}
    assert content(there) == content(read(pictures, "k.csv", **same))
    assert there.record["missing"]["colour"] == {marker: len(gone)}
    names = there.tasks[0].objective
    assert isinstance(names, Classification)
    assert set(names.class_names or ()) == {"rot", keep or "grün"}
