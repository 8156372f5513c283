"""Arguments of Suite.from_arrays, from_datasets and from_frame that are of the wrong kind."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import Tensor

from mtl_framework.data import Regression, Suite
from mtl_framework.support.errors import MtlError

X, Y = np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(20) % 2
FRAME = pd.DataFrame({"f": np.arange(20.0), "word": ["w"] * 20, "list": [[1]] * 20, "t": Y})
TIMES = pd.date_range("2020-01-01", periods=20)
ODD = FRAME.assign(
    when=TIMES, zone=TIMES.tz_localize("UTC"), long=TIMES - TIMES[0], wave=Y * 1j,
    text=[str(n + 1.5) for n in range(20)],
    mixed=pd.Series([1.0, *TIMES[1:]], dtype=object),
    price=[Decimal(n) / 4 for n in range(20)],
)  # fmt: skip
BOTH: Any = ((X, Y), (X + 1, Y))
BY_NUMBER: Any = {1: BOTH}


def parts(missing: Any, *rows: int) -> pd.DataFrame:
    names: list[Any] = ["train", "test"] * 10
    for row in rows or (3,):
        names[row] = missing
    return FRAME.assign(part=names)


def arrays(train: Any, **kwargs: Any) -> Callable[[], Suite]:
    return lambda: Suite.from_arrays({"a": (train, (X, Y))}, **kwargs)


def frame(tasks: Any, inputs: Any, given: Any = FRAME, **kwargs: Any) -> Callable[[], Suite]:
    return lambda: Suite.from_frame(given, tasks, inputs, **kwargs)


@pytest.mark.parametrize("make", [Suite.from_arrays, Suite.from_datasets])
@pytest.mark.parametrize("tasks", ["digits", [BOTH], None, 3])
def test_tasks_are_a_mapping(make: Any, tasks: Any) -> None:
    found = "None" if tasks is None else type(tasks).__name__
    with pytest.raises(MtlError, match=f"tasks should be a mapping of .*, found {found}$"):
        make(tasks)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Suite.from_arrays(BY_NUMBER), r"name should be a text, found 1 \(int\)"),
        (arrays((X, Y), kinds=["classes"]), "kinds should be a mapping .*found list"),
        (arrays((X, Y), kinds="classes"), "kinds should be a mapping .*found str"),
        (arrays(([[1, 2], [1]], [0, 1])), "task 'a', train split: inputs should be numbers"),
        (arrays((["u", "v"], [0, 1])), "task 'a', train split: inputs should be numbers"),
        (arrays((X, None)), "task 'a', train split: labels should be one a row.*found None"),
        (arrays((X, [[1, 2]] * 19 + [[1]])), "train split: labels should be of one length"),
        (
            lambda: Suite.from_datasets({"a": (3, 4)}),
            "train split should be a data set .*found int",
        ),
        (frame("t", ["f"]), "tasks should be a list of names of columns, found 't'"),
        (frame(None, ["f"]), "tasks should be a list of names of columns, found None"),
        (frame([], ["f"]), "tasks should be a list"),
        (frame(["t"], []), "inputs should be a list"),
        (frame([0], ["f"]), r"name should be a text, found 0 \(int\)"),
        (frame(["t", "t"], ["f"]), "tasks names column 't' 2 times"),
        (frame(["t"], ["f", "f"]), "inputs names column 'f' 2 times"),
        (frame(["t"], ["f"], {"f": X, "t": Y}), "should be a pandas data frame, found dict"),
        (frame(["t"], ["f"], split=3), "unknown column of the frame '3'"),
        (frame(["t"], ["f"], seed="x"), "seed should be an integer from 0 .*found 'x'"),
        (frame(["t"], ["f"], seed=-1), "seed should be an integer from 0 .*found -1"),
        (frame(["t"], ["word"]), "column 'word' of inputs should hold numbers"),
        (frame(["t"], ["when"], ODD), r"column 'when' of inputs should hold numbers, found dates"),
        (frame(["t"], ["zone"], ODD), r"found dates .datetime64.*, UTC.*frame.column..min.*days"),
        (frame(["t"], ["long"], ODD), r"found durations .timedelta64.*total_seconds"),
        (
            frame(["t"], ["wave"], ODD),
            r"'wave' of inputs .* found complex numbers .complex128.*abs",
        ),
        (frame(["t"], ["text"], ODD), r"column 'text' of inputs should hold numbers, found '?1.5"),
        (frame(["t"], ["mixed"], ODD), r"column 'mixed' .*numbers, found Timestamp.*.Timestamp."),
        (
            frame(["when"], ["f"], ODD),
            "column 'when': labels should be numbers or texts, found dat",
        ),
        (
            frame(["zone"], ["f"], ODD),
            "column 'zone': labels should be numbers or texts, found Tim",
        ),
        (frame(["wave"], ["f"], ODD), "column 'wave': labels .*, found complex numbers"),
        (arrays((X, Y + 1j)), "task 'a', train split: labels should be numbers .* complex"),
        (
            frame(["t"], ["f"], split="part", given=parts(None)),
            r"column 'part' names no split in row 3 \(index 3\): should be train, validation, test",
        ),
        (frame(["t"], ["f"], split="part", given=parts(float("nan"))), "no split in row 3"),
        (frame(["t"], ["f"], split="part", given=parts(pd.NA)), "no split in row 3"),
        (frame(["t"], ["f"], split="part", given=parts(None, 3, 5, 6)), "row 3 .*, as 2 more do"),
        (frame(["list"], ["f"]), r"column 'list': the label of row 0 should be one value"),
        (frame(["t"], ["f"], pd.concat([FRAME, FRAME], axis=1)), "the frame has 2 columns 't'"),
    ],
)
def test_the_message_says_what_was_found_and_where(make: Callable[[], Suite], message: str) -> None:
    with pytest.raises(MtlError, match=message):
        make()


def test_exact_numbers_are_numbers() -> None:
    task = Suite.from_frame(ODD, ["price"], "price").tasks[0]
    assert isinstance(task.objective, Regression)
    assert isinstance(task.train.inputs, Tensor)
    assert task.train.inputs.flatten().tolist() == task.train.targets.flatten().tolist()


def test_a_frame_may_number_its_columns_and_have_one_feature() -> None:
    numbered = FRAME[["f", "t"]].set_axis([0, 1], axis=1)
    for made in (Suite.from_frame(numbered, ["1"], ["0"]), Suite.from_frame(FRAME, ["t"], "f")):
        train = made.tasks[0].train
        assert isinstance(train.inputs, Tensor)
        numbers, features = train.targets.tolist(), train.inputs.flatten().tolist()
        assert [feature % 2 for feature in features] == numbers
    assert numbered.columns.tolist() == [0, 1]
