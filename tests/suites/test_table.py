"""Tasks from the columns of one table: missing labels, inferred kinds, everything wrong at once."""

import csv
import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from mtl_suites.columns import infer_column, parse_column
from mtl_suites.faults import Faults
from mtl_suites.table import table
from PIL import Image

from mtl_framework.data.tasks import Binary, Classification, Regression, Suite
from mtl_framework.support.errors import MtlError, ProblemsError

COLUMNS = ("image", "split", "kind", "smiling", "age")
KINDS = ("cat", "dog", "fox")


def rows(count: int = 60) -> list[list[str]]:
    """Every fourth has no kind, every seventh no age."""
    made = []
    for n in range(count):
        split = ("train", "train", "val", "test", "train")[n % 5]
        kind = "" if n % 4 == 3 else KINDS[n % 3]
        age = "" if n % 7 == 2 else f"{n / 2 + 0.25}"
        made.append([f"faces/{n}.png", split, kind, str(n // 2 % 2), age])
    return made


def write(folder: Path, lines: list[list[str]], columns: tuple[str, ...] = COLUMNS) -> Path:
    (folder / "faces").mkdir(exist_ok=True)
    for n in range(len(lines)):
        Image.fromarray(np.full((6, 5, 3), n, np.uint8)).save(folder / "faces" / f"{n}.png")
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *lines])
    return folder / "table.csv"


def read(folder: Path, **options: Any) -> Suite:
    return table(**{"path": "table.csv", "data_root": str(folder), **options})


def brightness(inputs: Any) -> list[int]:
    return [int(n) for n in inputs[:, 0, 0, 0]]


def test_columns_become_tasks_about_one_input(tmp_path: Path) -> None:
    lines = rows()
    write(tmp_path, lines)
    suite = read(tmp_path)
    assert suite.common_input
    assert suite.task_names == ("kind", "smiling", "age")
    kind, smiling, age = (task.objective for task in suite.tasks)
    assert kind == Classification(3, KINDS)
    assert smiling == Binary()
    assert age == Regression()
    assert "kind: classes, smiling: binary, age: numbers" in suite.notes[0]
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        expected = [n for n, line in enumerate(lines) if line[1] == name]
        for task in suite.tasks:
            assert brightness(task.splits()[split].inputs) == expected
        found = suite.tasks[0].splits()[split]
        assert found.labelled is not None
        assert found.labelled.tolist() == [n % 4 != 3 for n in expected]
        assert found.targets[found.labelled].tolist() == [n % 3 for n in expected if n % 4 != 3]
        assert suite.tasks[1].splits()[split].labelled is None
        assert suite.tasks[1].splits()[split].targets.tolist() == [n // 2 % 2 for n in expected]
        ages = suite.tasks[2].splits()[split]
        assert ages.labelled is not None
        assert ages.targets[ages.labelled, 0].tolist() == [
            n / 2 + 0.25 for n in expected if n % 7 != 2
        ]


def test_tasks_and_their_kinds_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, rows())
    suite = read(tmp_path, tasks=["smiling"], kinds={"smiling": "numbers"})
    assert suite.tasks[0].objective == Regression()
    suite = read(tmp_path, tasks=["smiling", "kind"], kinds={"smiling": "classes"})
    assert suite.tasks[0].objective == Classification(2, ("0", "1"))


def test_splits_are_made_where_there_is_no_column(tmp_path: Path) -> None:
    columns = tuple(name for name in COLUMNS if name != "split")
    write(tmp_path, [[line[0], *line[2:]] for line in rows()], columns)
    suite = read(tmp_path)
    found = {name: brightness(e.inputs) for name, e in suite.tasks[0].splits().items()}
    assert {name: len(numbers) for name, numbers in found.items()} == {
        "train": 36, "validation": 12, "test": 12,
    }  # fmt: skip
    assert sorted(n for numbers in found.values() for n in numbers) == list(range(60))
    assert suite.record["rows"] == found
    assert read(tmp_path).record == suite.record
    # kinds and rows without one keep their shares: 45 have a kind, 15 have none
    for name, examples in suite.tasks[0].splits().items():
        assert examples.labelled is not None
        assert int(examples.labelled.sum()) == len(found[name]) * 3 // 4
    other = read(tmp_path, stratify_by="smiling", split_seed=1)
    counts = [e.targets.bincount().tolist() for e in other.tasks[1].splits().values()]
    assert counts == [[18, 18], [6, 6], [6, 6]]


def test_an_image_is_one_row_where_splits_are_made(tmp_path: Path) -> None:
    columns = tuple(name for name in COLUMNS if name != "split")
    lines = [[line[0], *line[2:]] for line in rows()]
    twice = [*lines, ["faces/3.png", "cat", "1", "4.5"]]
    write(tmp_path, twice, columns)
    with pytest.raises(ProblemsError, match=r"csv:62: faces/3.png stands in .*csv:5 already"):
        read(tmp_path)
    found = read(tmp_path, skip_bad=True)
    assert sum(map(len, found.record["rows"].values())) == 60
    # whoever names splits knows what belongs where
    write(tmp_path, [*rows(), rows()[3]])
    assert sum(map(len, read(tmp_path).record["rows"].values())) == 61


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    lines = rows()
    write(tmp_path, lines)
    columns = list(zip(*lines, strict=True))
    typed = {
        "image": columns[0],
        "split": columns[1],
        "kind": [cell or None for cell in columns[2]],
        "smiling": [cell == "1" for cell in columns[3]],
        "age": [float(cell) if cell else None for cell in columns[4]],
    }
    stored = pyarrow.table({name: list(cells) for name, cells in typed.items()})
    parquet.write_table(stored, tmp_path / "t.parquet")
    ours, theirs = read(tmp_path, path="t.parquet"), read(tmp_path)
    for mine, other in zip(ours.tasks, theirs.tasks, strict=True):
        assert mine.objective == other.objective
        for split, examples in mine.splits().items():
            found = other.splits()[split]
            assert torch.equal(examples.inputs, found.inputs)  # type: ignore[arg-type]
            assert torch.equal(examples.targets, found.targets)
            assert str(examples.labelled) == str(found.labelled)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(MtlError, match=r"cannot read .*t\.parquet as a table"):
        read(tmp_path, path="t.parquet")


def test_inputs_from_arrays(tmp_path: Path) -> None:
    write(tmp_path, rows())
    features = np.arange(120, dtype=np.float64).reshape(60, 2)
    np.save(tmp_path / "features.npy", features)
    suite = read(tmp_path, inputs="features.npy", tasks=["smiling", "age"])
    assert suite.input_shape == (2,)
    assert suite.tasks[0].test.inputs[:2].tolist() == [[6, 7], [16, 17]]  # type: ignore[index]
    np.save(tmp_path / "images.npy", np.zeros((60, 8, 8, 3), np.uint8))
    suite = read(tmp_path, inputs="images.npy", tasks=["smiling"], size=4)
    assert suite.input_shape == (3, 4, 4)
    features[[7, 30]] = np.nan
    np.save(tmp_path / "features.npy", features)
    with pytest.raises(ProblemsError, match=r"table\.csv:9.*not finite.*table\.csv:32"):
        read(tmp_path, inputs="features.npy", tasks=["smiling"])
    lines = [[line[0].replace("png", "npy"), *line[1:]] for line in rows()]
    write(tmp_path, lines)
    for n in range(60):
        np.save(tmp_path / "faces" / f"{n}.npy", np.full((4, 4), n, np.uint8))
    assert brightness(read(tmp_path).tasks[0].test.inputs)[:2] == [3, 8]


def broken(folder: Path) -> list[str]:
    lines = rows()
    lines[1][1] = "tets"
    lines[2][3] = "perhaps"
    lines[4][4] = "old"
    lines[6][0] = ""
    lines[8][0] = "faces/none.png"
    lines[9][2] = "yak"
    lines[10].append("one more")
    for line in lines:
        line.insert(5, "")
    write(folder, lines, (*COLUMNS, "void"))
    (folder / "faces" / "12.png").write_text("no image")
    return [
        r"table\.csv:3: column 'split': unknown split 'tets'; did you mean 'test'",
        r"table\.csv:4: column 'smiling' should hold 0 or 1, found 'perhaps'",
        r"table\.csv:6: column 'age' should hold a number, found 'old'",
        r"table\.csv:8: names no input",
        r"table\.csv:10: faces/none\.png: there is no image",
        r"table\.csv:12: has 7 cells, expected 6",
        r"table\.csv:14: faces/12\.png: cannot be read as an image",
        r"task 'kind': no test example has the class yak",
        r"column 'void' has no label at all",
    ]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    expected = broken(tmp_path)
    with pytest.raises(ProblemsError) as caught:
        read(tmp_path, kinds={"smiling": "binary"})
    hint, *problems = caught.value.problems
    assert "skip_bad=true" in hint
    for pattern in expected:
        assert any(re.search(pattern, problem) for problem in problems), pattern
    assert len(problems) == len(expected)


def test_what_is_wrong_can_be_left_out_and_is_counted(tmp_path: Path) -> None:
    expected = broken(tmp_path)
    suite = read(tmp_path, kinds={"smiling": "binary"}, skip_bad=True)
    assert suite.task_names == ("kind", "smiling", "age")
    assert len(suite.record["left_out"]) == len(expected)
    seen = {n for e in suite.tasks[0].splits().values() for n in brightness(e.inputs)}
    assert seen == set(range(60)) - {1, 6, 8, 10, 12}
    assert suite.tasks[0].objective == Classification(3, KINDS)
    validation = suite.tasks[1].validation
    assert validation is not None
    assert validation.labelled is not None
    assert validation.labelled.tolist()[0] is False
    assert f"skip_bad left out {len(expected)} faults" in suite.notes[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "tabel.csv"}, r"there is no file .*tabel\.csv"),
        ({"inputs": "picture"}, "unknown column for suite.inputs: 'picture'"),
        ({"inputs": "x.npy"}, r"there is no file .*x\.npy"),
        ({"tasks": ["kinds"]}, "did you mean 'kind'"),
        ({"kinds": {"agee": "numbers"}}, "did you mean 'age'"),
        ({"stratify_by": "kinds"}, "did you mean 'kind'"),
        ({"test_per_task": 90}, "test_per_task=90, but the test split has 12"),
        ({"kinds": {"kind": "numbers"}}, "should hold a number, found 'cat'"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write(tmp_path, rows())
    with pytest.raises(MtlError, match=message):
        read(tmp_path, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no row"),
        (b"image,split\n", "has no row"),
        (b"a,b,a\n1,2,3\n", "column 'a' occurs twice"),
        (b"image,kind\n\xff\xfe,1\n", r"cannot read .*table\.csv as a table"),
        (b'image,kind\n"a,1\n', r"cannot read .*table\.csv as a table"),
        (b"image,split\na,train\n", "no column for a task beside image, split"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(MtlError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["0", "1", "", "1"], "binary"),
        (["true", "False"], "binary"),
        (["1.0", "0.0", ""], "binary"),
        (["0", "1", "2"], "classes"),
        (["3.0", "", "4.0"], "classes"),
        (["red", "1", "2.5"], "classes"),
        (["0.5", "1", "2"], "numbers"),
        ([*(["0.5"] * 19), "unknown"], "numbers"),
        (["a.png", "b.png"], "classes"),
    ],
)
def test_kinds_of_columns(cells: list[str], kind: str) -> None:
    assert infer_column(cells) == kind


CELL = st.one_of(st.just(""), st.integers(-5, 5).map(str), st.floats().map(str), st.text())


@settings(max_examples=100, deadline=None)
@given(st.lists(CELL))
def test_every_cell_has_a_value_or_none_or_is_a_fault(cells: list[str]) -> None:
    cells = [cell.strip() for cell in cells]
    places = [f"row {n}" for n in range(len(cells))]
    for kind in ("classes", "binary", "numbers"):
        faults = Faults("table", skip=True)
        values, present = parse_column("x", cells, kind, places, faults)  # type: ignore[arg-type]
        assert len(values) == len(present) == len(cells)
        assert present.sum() + len(faults.found) == sum(map(bool, cells))
        assert values.dtype.kind == {"binary": "i", "numbers": "f"}.get(kind, values.dtype.kind)
