"""Labels of a program's own data: what is none is no class; and inputs that two splits have."""

from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.missing import Missing

from mtl_framework.data import MISSING_MARKERS, Binary, Classification, Regression, Suite
from mtl_framework.support.errors import MtlError

IMAGES = torch.arange(24 * 16).reshape(24, 1, 4, 4).to(torch.float32)


class Pairs:
    """A data set of inputs and labels."""

    def __init__(self, labels: Any, first: int) -> None:
        self.labels, self.first = labels, first

    def __len__(self) -> int:
        return 12

    def __getitem__(self, row: int) -> Any:
        return IMAGES[self.first + row], self.labels[row]


def doors(labels: Any) -> list[Suite]:
    """The same 12 labels in training and test, through each of the three doors."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"t": [*labels, *labels], "split": ["train"] * 12 + ["test"] * 12})
    return [
        Suite.from_arrays({"t": ((IMAGES[:12], labels), (IMAGES[12:], labels))}),
        Suite.from_datasets({"t": (Pairs(labels, 0), Pairs(labels, 12))}),
        Suite.from_frame(frame, ["t"], IMAGES, split="split"),
    ]


@pytest.mark.parametrize("none", [None, float("nan"), "N/A", "?", " null ", ""])
def test_what_means_no_label_is_no_class(none: Any) -> None:
    for suite in doors(np.array(["a", none, "b"] * 4, dtype=object)):
        (task,) = suite.tasks
        assert task.objective == Classification(2, ("a", "b"))
        assert task.train.num_labelled == task.test.num_labelled == 8
        assert task.train.labelled is not None
        assert task.train.labelled.tolist() == [True, False, True] * 4
        assert task.train.targets[task.train.labelled].tolist() == [0, 1] * 4
        told = [note for note in suite.notes if "taken as no label" in note]
        if isinstance(none, str) and none:  # what is empty in a frame is so without a word
            marker = none.strip()
            assert told == [
                f"task 't': {marker!r} (8 times) taken as no label; a class that is called so "
                "needs another name"
            ]


@pytest.mark.parametrize(
    ("labels", "objective"),
    [
        ([3, None, 5], Classification(2, ("3", "5"))),
        ([0.5, None, 2.0], Regression(1, means=(1.25,), deviations=(0.75,))),
        (["01", None, "1"], Classification(2, ("01", "1"))),
    ],
)
def test_numbers_beside_none_stay_numbers(labels: list[Any], objective: Any) -> None:
    for suite in doors(np.array(labels * 4, dtype=object)):
        assert suite.tasks[0].objective == objective
        assert suite.tasks[0].train.num_labelled == 8


def test_binary_labels_may_be_missing_and_some_label_there_must_be() -> None:
    splits = (IMAGES[:12], [0, 1, None] * 4), (IMAGES[12:], [0, 1, 1] * 4)
    suite = Suite.from_arrays({"t": splits}, kinds={"t": "binary"})
    assert suite.tasks[0].objective == Binary()
    assert suite.tasks[0].train.num_labelled == 8
    with pytest.raises(MtlError, match="train split: there is no label"):
        Suite.from_arrays({"t": ((IMAGES[:12], [None] * 12), (IMAGES[12:], [0, 1, 1] * 4))})


def test_the_markers_are_those_of_the_suites() -> None:
    assert Missing().markers("t") == MISSING_MARKERS


def test_inputs_that_two_splits_have_are_told() -> None:
    rows = IMAGES.flatten(1)
    images = rows.clone()
    images[12], images[15], images[20] = images[3], images[4], images[13]
    labels = [0, 1] * 12
    suite = Suite.from_arrays(
        {
            "t": (
                (images[:12], labels[:12]),
                (images[12:18], labels[:6]),
                (images[18:], labels[:6]),
            ),
            "u": ((rows[:12], labels[:12]), (rows[12:], labels[:12])),
        }
    )
    assert suite.notes == (
        "task 't': 2 inputs are in both train and validation, e.g. row 3 of train and row 0 of "
        "validation",
        "task 't': 1 input is in both validation and test, e.g. row 1 of validation and row 2 of "
        "test",
    )
