"""Tasks from the columns of one table: missing labels, inferred kinds, everything wrong at once."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tables import COLUMNS, KINDS, read, rows, write

from mtl_framework.data.tasks import Binary, Classification, Regression
from mtl_framework.support.errors import MtlError, ProblemsError


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
    assert isinstance(age, Regression)
    assert suite.notes == (
        "kind: classes, 3 classes (cat, dog, fox), 45 labelled, 15 missing",
        "smiling: binary, 30 of 1, 30 of 0, 60 labelled, 0 missing",
        "age: numbers, 0.25 to 29.75, 51 labelled, 9 missing",
    )
    kinds = {"kind": "classes", "smiling": "binary", "age": "numbers"}
    assert suite.record["kinds"] == kinds
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
    assert isinstance(suite.tasks[0].objective, Regression)
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
    with pytest.raises(ProblemsError, match=r"csv:62 \(faces/3.png\): faces/3.png stands in"):
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
    pixels = np.random.default_rng(0).random((60, 8, 6, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", pixels)
    suite = read(tmp_path, inputs="images.npy", tasks=["smiling"])
    assert suite.input_shape == (3, 8, 6)
    assert (suite.tasks[0].test.inputs[0] == torch.from_numpy(pixels[3]).permute(2, 0, 1)).all()  # type: ignore[index]
    features[[7, 30]] = np.nan
    np.save(tmp_path / "features.npy", features)
    with pytest.raises(ProblemsError, match=r"table\.csv:9.*not finite.*table\.csv:32"):
        read(tmp_path, inputs="features.npy", tasks=["smiling"])
    for count in (59, 61):  # one of them has lost a row: which is not known
        np.save(tmp_path / "images.npy", np.zeros((count, 8, 8, 3), np.uint8))
        with pytest.raises(MtlError, match=r"each of the table's 60 rows, found shape \(\d+, 8"):
            read(tmp_path, inputs="images.npy", tasks=["smiling"])
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
        r"table\.csv:3 \(.*\): column 'split': unknown split 'tets'; did you mean 'test'",
        r"table\.csv:4 \(.*\): column 'smiling' should hold 0 or 1, found 'perhaps'",
        r"table\.csv:6 \(.*\): column 'age' should hold a number, found 'old'",
        r"table\.csv:8: names no input",
        r"table\.csv:10: faces/none\.png: there is no image",
        r"table\.csv:12: has 7 cells, expected 6",
        r"table\.csv:14: faces/12\.png: cannot be read as an image",
        r"task 'kind': 1 of \d+ classes has a single row, .*\(1 not in test\): yak .*more rows",
        r"column 'void' has no label at all",  # asked for by its kind
    ]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    expected = broken(tmp_path)
    with pytest.raises(ProblemsError) as caught:
        read(tmp_path, kinds={"smiling": "binary", "void": "classes"})
    hint, *problems = caught.value.problems
    assert "skip_bad=true" in hint
    for pattern in expected:
        assert any(re.search(pattern, problem) for problem in problems), pattern
    assert len(problems) == len(expected)


def test_what_is_wrong_can_be_left_out_and_is_counted(tmp_path: Path) -> None:
    expected = broken(tmp_path)
    suite = read(tmp_path, kinds={"smiling": "binary", "void": "classes"}, skip_bad=True)
    assert suite.task_names == ("kind", "smiling", "age")
    assert len(suite.record["left_out"]) == len(expected)
    seen = {n for e in suite.tasks[0].splits().values() for n in brightness(e.inputs)}
    assert seen == set(range(60)) - {1, 6, 8, 10, 12}
    assert suite.tasks[0].objective == Classification(3, KINDS)
    validation = suite.tasks[1].validation
    assert validation is not None
    assert validation.labelled is not None
    assert validation.labelled.tolist()[0] is False
    assert f"skip_bad left out {len(expected)} faults" in suite.notes[-1]


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
        (b"image,kind\n\xff\xfe,1\n", r"table\.csv is not in UTF-8; save it so, or name its enc"),
        (b'image,kind\n"a,1\n', r"table\.csv: cannot read the row that begins in line 2: a quote"),
        (b"image,split\na,train\n", "no column for a task beside image, split"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(MtlError, match=message):
        read(tmp_path)


def test_columns_that_nobody_asked_for_do_not_matter(tmp_path: Path) -> None:
    from datetime import date

    import pyarrow
    from pyarrow import parquet

    write(tmp_path, rows())
    columns = {
        "image": [f"faces/{n}.png" for n in range(60)],
        "smiling": [n % 2 for n in range(60)],
        "taken": [date(2024, 1, 1 + n % 28) for n in range(60)],
        "boxes": [[n, n] for n in range(60)],
        "__index_level_0__": list(range(60)),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    suite = read(tmp_path, path="t.parquet")
    assert suite.task_names == ("smiling",)
    told = "\n".join(suite.notes)
    assert "column 'taken' holds dates (e.g. 2024-01-01): left out" in told
    assert "column 'boxes' holds cells of type list, neither texts nor numbers: left out" in told
    assert "'__index_level_0__' is an index of rows: left out" in told
    assert len(read(tmp_path, path="t.parquet", tasks=["smiling"]).notes) == 1
    with pytest.raises(MtlError, match="column 'boxes' holds cells of type list"):
        read(tmp_path, path="t.parquet", tasks=["boxes"])
    lines = [["x", str(n), *line[:1], str(n % 2), "", ""] for n, line in enumerate(rows())]
    write(tmp_path, lines, ("double", "", "image", "smiling", "double", "void"))
    assert read(tmp_path, tasks=["smiling"]).task_names == ("smiling",)


def test_rare_classes_are_everywhere_and_named(tmp_path: Path) -> None:
    rare = ["abc"[0 if n < 30 else 1 if n < 37 else 2] for n in range(40)]
    lines = [[f"faces/{n}.png", str(n % 2), rare[n]] for n in range(40)]
    write(tmp_path, lines, ("image", "easy", "rare"))
    for seed in range(4):
        suite = read(tmp_path, split_seed=seed)
        for examples in suite.tasks[1].splits().values():
            assert set(examples.targets.tolist()) == {0, 1, 2}
        assert "'c' (1 in train, 1 in validation, 1 in test)" in suite.notes[-1]


def test_wrong_names_of_several_options_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, rows())
    with pytest.raises(ProblemsError) as caught:
        read(tmp_path, tasks=["kind", "agee"], kinds={"knid": "classes"}, missing={"kin": ["x"]})
    told = caught.value.problems
    assert len(told) == 3
    assert "did you mean 'age'" in told[0]
    assert "in suite.kinds: 'knid'; did you mean 'kind'" in told[1]
    assert "in suite.missing: 'kin'; did you mean 'kind'" in told[2]
