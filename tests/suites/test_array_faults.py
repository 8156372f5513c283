"""Arrays that do not fit: refused by name, or left out and counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtl_suites.arrays import arrays
from support.arrays import by_split, chosen, numbered, save

from mtl_framework.data.tasks import Classification, Regression
from mtl_framework.support.errors import MtlError, ProblemsError


@pytest.mark.parametrize(
    ("contents", "options", "message"),
    [
        ({"a_images": numbered(9), "a_labels": [0, 1, 2] * 2}, {}, "found 6 for 9"),
        ({"a_images": numbered(9), "a_names": ["x"]}, {}, "no array labels of task 'a'"),
        ({"a_images": numbered(8).astype(np.int32), "a_labels": [0, 1] * 4}, {}, "holds int32"),
        ({"a_images": numbered(8, 9, 9, 2), "a_labels": [0, 1] * 4}, {}, "channels=first or last"),
        ({"a_images": numbered(20), "a_labels": [0] * 19 + [1]}, {}, "'1' has 1 example, too few"),
        ({"a_images": numbered(4), "a_labels": [3] * 4}, {}, "and all labels are 3"),
        ({"a_images": numbered(0), "a_labels": []}, {}, "there is no example"),
        (
            {"train_images": numbered(4), "train_labels": [0, 1, 2, 2],
             "test_images": numbered(4), "test_labels": [0, 1, 1, 7]},
            {},
            "class '2' is not in test .2 examples, the first is row 2 of train..*'7' is not",
        ),
        ({"train_images": numbered(4), "train_labels": [0, 1, 0, 1]}, {}, "no test split"),
        ({"a_images": numbered(4), "a_labels": [0, 1] * 2}, {"train_per_task": 9}, "9 cannot be"),
        ({"a_images": numbered(4), "a_labels": [0, 1] * 2}, {"test_per_task": 1.5}, "found 1.5"),
        ({"a_images": numbered(8), "a_labels": [0, 1] * 4}, {"train_per_task": 1}, "at least 2"),
        ({"a_features": np.ones((8, 2)), "a_labels": [0, 1] * 4}, {"size": 3}, "is for images"),
        ({"a_images": numbered(8), "a_labels": [0, 2] * 4}, {"kind": "binary"}, "found 0, 2"),
        ({"a_images": numbered(8), "a_labels": ["x", "y"] * 4}, {"kind": "numbers"}, "numbers are"),
        ({"a_images": numbered(4), "b": np.ones(1)}, {"task_axis": True, "labels": "b"}, "axis 0"),
        ({"a": np.array([{}], dtype=object)}, {"tasks": ["b"], "inputs": "a"}, "'a' holds objects"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, contents: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    where = save(tmp_path, **contents)
    if options.get("task_axis"):
        options = {**options, "inputs": "a_images"}
    with pytest.raises(MtlError, match=message) as caught:
        arrays(**where, **options)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_in_several_tasks_is_told_at_once(tmp_path: Path) -> None:
    contents = {
        "a_images": numbered(20), "a_labels": [0] * 19 + [1],
        "b_images": numbered(4), "b_labels": [3] * 4,
        "c_images": numbered(20), "c_labels": [0, 1] * 10,
        "d_images": numbered(8).astype(np.int32), "d_labels": [0, 1] * 4,
    }  # fmt: skip
    with pytest.raises(ProblemsError) as caught:
        arrays(**save(tmp_path, **contents))
    hint, *problems = caught.value.problems
    assert "skip_bad=true" in hint
    assert len(problems) >= 3
    named = {problem.split("task ")[1][:3] for problem in problems}
    assert named == {"'a'", "'b'", "'d'"}


def test_what_is_wrong_can_be_left_out_and_is_counted(tmp_path: Path) -> None:
    contents = {
        "a_images": numbered(24), "a_labels": [0, 1] * 11 + [2, 5],
        "b_images": numbered(4), "b_labels": [3] * 4,
        "c_images": numbered(20), "c_labels": [0, 1] * 10,
    }  # fmt: skip
    where = save(tmp_path, **contents)
    with pytest.raises(ProblemsError, match="skip_bad=true"):
        arrays(**where)
    suite = arrays(**where, skip_bad=True)
    assert suite.task_names == ("a", "c")
    assert [task.objective.num_outputs for task in suite.tasks] == [2, 2]
    assert sum(len(part) for part in suite.tasks[0].splits().values()) == 22
    assert suite.notes[-1] == "skip_bad left out 3 faults; a run keeps all of them in data.json"
    assert suite.notes[-2] == "skip_bad left out the whole task 'b'"
    left_out = suite.record["left_out"]
    assert "(the first is row 22)" in left_out[0]
    assert "class '2' has 1 example," in left_out[0]
    assert "class '5' has 1 example," in left_out[1]
    assert not any(str(tmp_path) in text for text in left_out)
    faulty = save(
        tmp_path,
        a_images=numbered(20), a_labels=[0, 1] * 9,
        b_images=numbered(20), b_labels=[0, 1] * 10, b_split=["train"] * 12 + ["tets"] * 8,
        c_features=np.array([[1.0], [np.nan]] * 10), c_labels=[0, 1] * 10,
        d_images=numbered(20), d_labels=[0, 1] * 10,
    )  # fmt: skip
    with pytest.raises(ProblemsError) as caught:
        arrays(**faulty)
    told = "\n".join(caught.value.problems)
    for part in (
        "a_labels should have one entry",
        "b_split, row 12: unknown split 'tets'; did you",
    ):
        assert part in told
    assert "task 'c'" in told
    assert "not finite" in told
    assert arrays(**faulty, skip_bad=True).task_names == ("d",)
    only = save(tmp_path, b_images=numbered(4), b_labels=[3] * 4)
    with pytest.raises(MtlError, match="left out every task"):
        arrays(**only, skip_bad=True)


# -- what labels are, and which are missing ------------------------------------------------------


def test_labels_that_are_missing_enter_nothing_and_are_counted(tmp_path: Path) -> None:
    prices = np.arange(40) / 4
    prices[::8] = np.nan
    kinds = np.array(["cat", "dog", "N/A", "dog", "cat"] * 8)
    ranks = np.arange(40) % 3
    ranks[5:10] = -1
    where = save(tmp_path, images=numbered(40), price=prices, kind=kinds, rank=ranks)
    options: dict[str, Any] = {"tasks": "price,kind,rank", "missing": {"rank": -1}}
    suite = chosen(**where, **options)
    price, kind, rank = suite.tasks
    assert isinstance(price.objective, Regression)
    assert kind.objective == Classification(2, ("cat", "dog"))
    assert rank.objective == Classification(3, ("0", "1", "2"))
    told = "\n".join(suite.notes)
    for line in (
        "price: numbers, 0.25 to 9.75, 35 labelled, 5 missing",
        "kind: classes, 2 classes (cat, dog), 32 labelled, 8 missing",
        "rank: classes, 3 classes (0, 1, 2), 35 labelled, 5 missing",
        "'kind': 'N/A' (8 times) taken as no label; suite.not_missing.kind=N/A takes",
        "'rank': '-1' (5 times) taken as no label",
    ):
        assert line in told
    assert suite.record["kinds"] == {"price": "numbers", "kind": "classes", "rank": "classes"}
    for split, rows in by_split(suite).items():
        for task, values in ((price, prices), (kind, kinds), (rank, ranks)):
            examples = task.splits()[split]
            known = [n for n in rows if values[n] not in ("N/A", -1) and values[n] == values[n]]
            labelled = examples.labelled
            mask = [True] * len(rows) if labelled is None else labelled.tolist()
            assert [n for n, has in zip(rows, mask, strict=True) if has] == known
    real = chosen(**where, **options, not_missing="N/A")
    assert real.tasks[1].objective == Classification(3, ("N/A", "cat", "dog"))
    # tasks with inputs of their own do without such rows
    own = save(tmp_path, a_images=numbered(40), a_labels=kinds)
    rows = [n for part in by_split(arrays(**own)).values() for n in part]
    assert sorted(rows) == [n for n in range(40) if n % 5 != 2]
    with pytest.raises(MtlError, match=r"suite.missing: 'b'.*\(known: a\)"):
        chosen(**own, missing={"b": -1})
