"""A table that changed after training is the same data, or one line says what differs."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from mtl_suites.table import table
from PIL import Image

from mtl_framework.data.tasks import Suite
from mtl_framework.runs.known_data import check_known, describe
from mtl_framework.runs.recorded_splits import with_recorded_splits
from mtl_framework.support.errors import MtlError

Rows = list[dict[str, str]]
MEASURED = ("validation", "test")
SPLITS = ["train", "train", "train", "validation", "test"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tables")
    (root / "img").mkdir()
    for n in range(40):
        Image.fromarray(np.full((3, 3, 3), 6 * n, np.uint8)).save(root / "img" / f"{n}.png")
    return root


def plain() -> Rows:
    return [
        {
            "image": f"img/{n}.png",
            "split": SPLITS[n % 5],
            "kind": ("cat", "dog")[n // 5 % 2],
            "size": f"{n / 4 + 0.25:.2f}",
        }
        for n in range(30)
    ]


def written(folder: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> Suite:
    lines = [delimiter.join(rows[0]), *(delimiter.join(row.values()) for row in rows)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n", encoding)
    return table(path="t.csv", data_root=str(folder))


def measured(known: dict[str, Any], suite: Suite) -> None:
    """Check the examples that an evaluation measures."""
    check_known(known, with_recorded_splits(suite, known["examples"], MEASURED), MEASURED)


def turned(rows: Rows, draw: random.Random) -> Rows:
    return draw.sample(rows, len(rows))


def with_more(rows: Rows, draw: random.Random) -> Rows:
    new = [{**row, "image": f"img/{n}.png"} for n, row in zip(range(30, 36), rows, strict=False)]
    return [*new[: draw.randint(1, 6)], *rows]


def other_columns(rows: Rows, draw: random.Random) -> Rows:
    names = draw.sample(list(rows[0]), 4)
    if names.index("kind") > names.index("size"):  # the order of columns is that of tasks
        first, second = names.index("size"), names.index("kind")
        names[first], names[second] = names[second], names[first]
    return [{name: row[name] for name in names} for row in rows]


def less_training(rows: Rows, draw: random.Random) -> Rows:
    gone = next(row for row in rows if row["split"] in ("train", "Training"))
    return [row for row in rows if row is not gone]


def spelled(rows: Rows, draw: random.Random) -> Rows:
    return [{**row, "image": f"./{row['image']}"} for row in rows]


def other_splits(rows: Rows, draw: random.Random) -> Rows:
    words = {"train": "Training", "validation": "dev", "test": "Hold-out"}
    return [{**row, "split": words[row["split"]]} for row in rows]


@pytest.mark.long
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(
        st.sampled_from([turned, with_more, other_columns, less_training, spelled, other_splits]),
        unique=True,
    ),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    seed=st.integers(0, 999),
)
def test_what_is_no_change_is_measured(
    folder: Path,
    changes: list[Callable[[Rows, random.Random], Rows]],
    delimiter: str,
    encoding: str,
    seed: int,
) -> None:
    known = describe(written(folder, plain()))
    rows = plain()
    for change in changes:
        rows = change(rows, random.Random(seed))
    measured(known, written(folder, rows, delimiter, encoding))


@pytest.mark.long
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    what=st.sampled_from(["gone", "relabelled", "renamed", "other number", "repainted"]),
    n=st.sampled_from([n for n in range(30) if SPLITS[n % 5] in MEASURED]),
    seed=st.integers(0, 99),
)
def test_what_is_a_change_is_told_with_the_row(folder: Path, what: str, n: int, seed: int) -> None:
    known = describe(written(folder, plain()))
    rows, message = plain(), rf"\(img/{n}\.png\)"
    file = folder / "img" / f"{n}.png"
    before = file.read_bytes()
    if what == "gone":
        del rows[n]
        message = f"1 example is gone {message}"
    elif what == "relabelled":
        rows[n]["kind"] = {"cat": "dog", "dog": "cat"}[rows[n]["kind"]]
        message = f"1 has another label {message}"
    elif what == "other number":
        rows[n]["size"] = "99.5"
        message = f"1 has another label {message}"
    elif what == "renamed":
        rows = [{**row, "kind": row["kind"].replace("dog", "wolf")} for row in rows]
        message = "classes of task 'kind' were cat, dog and are cat, wolf"
    else:
        Image.fromarray(np.full((3, 3, 3), 6 * n + 1, np.uint8)).save(file)
        message = f"1 holds something else under the same name {message}"
    try:
        changed = written(folder, turned(rows, random.Random(seed)))
    finally:
        file.write_bytes(before)
    with pytest.raises(MtlError, match=message):
        measured(known, changed)
