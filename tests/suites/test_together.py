"""Columns of 0 and 1, or of numbers, that are put together into one task."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.arrays import arrays
from mtl_suites.table import table
from PIL import Image
from support.arrays import numbered, save
from support.command import status

import mtl_framework
from mtl_framework.data import Binary, Classification, MultiLabel, Regression, Suite
from mtl_framework.data.overview import overview
from mtl_framework.export import load_network
from mtl_framework.support.errors import MtlError

COLUMNS = ("image", "split", "oedema", "kind", "mass", "x", "y")
ROWS = 60


def cells(n: int) -> list[str]:
    """Every third row has no oedema, every fifth no mass, every fourth no y; row 0 has neither."""
    oedema = "" if n % 3 == 0 else str(n // 2 % 2)
    mass = "" if n % 5 == 0 else str(n // 4 % 2)
    y = "" if n % 4 == 3 else f"{5 * n - 0.5}"
    split = ("train", "train", "val", "test", "train")[n // 2 % 5]
    return [f"{n}.png", split, oedema, "ab"[n // 3 % 2], mass, f"{n / 2 + 0.25}", y]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(ROWS):
        Image.fromarray(np.full((8, 8, 3), n, np.uint8)).save(tmp_path / f"{n}.png")
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *map(cells, range(ROWS))])
    return tmp_path


def read(folder: Path, **options: Any) -> Suite:
    return table(path="table.csv", data_root=str(folder), **options)


def rows_of(examples: Any) -> list[int]:
    return [int(n) for n in examples.inputs[:, 0, 0, 0]]


def test_binary_columns_become_labels_some_of_which_are_not_known(folder: Path) -> None:
    suite = read(folder, together={"findings": ["mass", "oedema"]})
    assert suite.task_names == ("findings", "kind", "x", "y")
    task = suite.tasks[0]
    assert task.objective == MultiLabel(2, ("mass", "oedema"))
    for examples in task.splits().values():
        rows = rows_of(examples)
        texts = [(cells(n)[4], cells(n)[2]) for n in rows]
        expected = [[int(text or -1) for text in both] for both in texts]
        known = [any(text for text in both) for both in texts]
        mask = torch.ones(len(rows), dtype=torch.bool)
        mask = mask if examples.labelled is None else examples.labelled
        assert examples.targets.tolist() == expected
        assert mask.tolist() == known
    assert sum(rows.labelled is not None for rows in task.splits().values()) > 0  # rows 0, 15, ...
    assert "findings: one task of 2 labels, mass, oedema" in suite.notes
    masses = sum(cells(n)[4] == "1" for n in range(ROWS))
    oedemas = sum(cells(n)[2] == "1" for n in range(ROWS))
    empty = sum(not text for n in range(1, ROWS) if n % 15 for text in (cells(n)[4], cells(n)[2]))
    first, second = sorted([("mass", masses), ("oedema", oedemas)], key=lambda x: -x[1])
    found = overview(suite)[0]
    assert found.kind == "2 labels"
    counts = f"{first[0]} {first[1]}, {second[0]} {second[1]}"
    assert found.labels == f"{counts}; {empty} not known"
    assert suite.record["together"] == {"findings": ["mass", "oedema"]}


@pytest.mark.parametrize("standardize", [False, True])
def test_numbers_become_one_task_that_a_row_has_whole_or_not(
    folder: Path, standardize: bool
) -> None:
    plain = read(folder, standardize=standardize)
    suite = read(folder, together={"place": ["x", "y"]}, standardize=standardize)
    assert suite.task_names == ("oedema", "kind", "mass", "place")
    place: Any = suite.tasks[3].objective
    each: list[Any] = [plain.tasks[n].objective for n in (3, 4)]
    assert isinstance(place, Regression)
    assert place.means == tuple(mean for one in each for mean in one.means)
    assert place.deviations == tuple(d for one in each for d in one.deviations)
    assert bool(place.means) == standardize
    assert place.target_names == ("x", "y")
    (row,) = place.describe(torch.zeros(1, 2))
    assert row == pytest.approx(dict(zip("xy", place.means or (0, 0), strict=True)))
    described = {one.name: (one.kind, one.labels) for one in overview(suite)}["place"]
    assert described[0] == "2 numbers"
    assert "x from 0.25 to " in described[1]
    assert "; y from -0.5 to " in described[1]
    for examples in suite.tasks[3].splits().values():
        rows = rows_of(examples)
        assert examples.labelled is not None
        assert examples.labelled.tolist() == [n % 4 != 3 for n in rows]
        has = examples.targets[examples.labelled]
        assert has.tolist() == [[n / 2 + 0.25, 5 * n - 0.5] for n in rows if n % 4 != 3]
    assert "place: 15 rows lack some of its numbers, and so all of them" in suite.notes


def test_tasks_of_arrays_and_names_with_commas(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (80, 3))
    where = save(tmp_path, images=numbered(80), labels=labels, labels_names=["a", "b,c", "d"])
    suite = arrays(
        **where, together={"both": ["labels_d", "labels_b", "c"]}, validation_per_task=10
    )
    assert suite.task_names == ("labels_a", "both")
    names = ("labels_d", "labels_b,c")
    assert [task.objective for task in suite.tasks] == [Binary(), MultiLabel(2, names)]
    for examples in suite.tasks[1].splits().values():
        assert examples.targets.tolist() == labels[rows_of(examples)][:, [2, 1]].tolist()


@pytest.mark.parametrize(
    ("together", "message"),
    [
        (
            {"f": ["mas", "oedema"]},
            "unknown task in suite.together.f: 'mas'; did you mean 'mass'? (known: kind, mass,",
        ),
        ({"f": ["mass", "mass"]}, r"suite.together.f should name two tasks or more, found "),
        (
            {"f": ["mass", "oedema"], "g": ["mass", "x"]},
            "suite.together has 'mass' in two groups; a task goes into one",
        ),
        ({"kind": ["x", "y"]}, "there is a task 'kind' already; take another name"),
        (
            {"f": ["kind", "mass"]},
            "suite.together.f takes tasks that are binary or numbers, and 'kind' is classification",
        ),
        (
            {"f": ["mass", "x"]},
            "suite.together.f needs tasks of one kind: mass is binary, x is regression",
        ),
    ],
)
def test_what_cannot_be_put_together_is_said(
    folder: Path, together: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(MtlError) as caught:
        read(folder, together=together)
    assert message in str(caught.value)


def test_tasks_with_inputs_of_their_own_are_refused(tmp_path: Path) -> None:
    labels = np.arange(60) % 2
    where = save(
        tmp_path, a_images=numbered(60), a_labels=labels, b_images=numbered(60), b_labels=labels
    )
    with pytest.raises(MtlError, match="needs tasks about the same inputs; those of suite 'arr"):
        arrays(**where, train_per_task=20, together={"f": ["a", "b"]})


def test_numbers_that_no_row_has_together_are_refused(folder: Path) -> None:
    with (folder / "table.csv").open("w", newline="") as file:
        table_rows = [
            [f"{n}.png", ("train", "test")[n // 2 % 2], *(f"{n}.5", "")[:: 1 - n % 2 * 2]]
            for n in range(ROWS)
        ]
        csv.writer(file).writerows([("image", "split", "p", "q"), *table_rows])
    with pytest.raises(MtlError, match=r"together.f: no row of train has all of p, q"):
        read(folder, together={"f": ["p", "q"]}, validation_per_task=0)


def test_a_run_of_labels_together_resumes_predicts_and_exports(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = (
        "run", "--suite", "table", "--set", "suite.path=table.csv", "--data-root", folder,
        "--set", "suite.together.findings=mass,oedema", "--set", "suite.together.place=x,y",
        "--strategy", "full_sharing", "--backbone", "lenet", "--set", "suite.size=32",
        "--eval-every", "2", "--output", out,
    )  # fmt: skip
    assert status(*command, "--iterations", "2") == 0
    assert "findings" in capsys.readouterr().out
    assert status("run", "--resume", "--output", out, "--iterations", "4") == 0
    loaded = mtl_framework.load_run(out)
    assert [type(task.objective) for task in loaded.suite.tasks] == [
        MultiLabel, Classification, Regression,
    ]  # fmt: skip
    capsys.readouterr()
    assert status("predict", out, folder / "3.png", "--task", "findings", "--json") == 0
    shown = capsys.readouterr().out
    assert '"mass"' in shown
    assert '"oedema"' in shown
    assert status("evaluate", out) == 0
    assert status("export", out, "--task", "findings", "--output", tmp_path / "e") == 0
    inputs = loaded.preprocessings[0].read([folder / "3.png"])
    alone = load_network(tmp_path / "e")
    found: Any = alone
    torch.testing.assert_close(found(inputs), loaded.extract("findings")(inputs))
