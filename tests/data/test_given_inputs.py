"""Inputs that a program holds are read by the rules of the suite ``arrays``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mtl_suites.arrays import arrays
from support.tiny import TinyPlugins
from torch import Tensor

from mtl_framework import run
from mtl_framework.data import Suite
from mtl_framework.support.errors import MtlError

LABELS = np.arange(24) % 2
DRAWN = np.random.default_rng(0)


def bytes_of(*shape: int, top: int = 256, dtype: Any = np.uint8) -> np.ndarray:
    return DRAWN.integers(0, top, (24, *shape)).astype(dtype)


def given(inputs: Any, **kwargs: Any) -> Suite:
    tasks = {"a": ((inputs[:12], LABELS[:12]), (inputs[12:], LABELS[12:]))}
    return Suite.from_arrays(tasks, **kwargs)


def stored(suite: Suite) -> Tensor:
    held = [suite.tasks[0].train.inputs, suite.tasks[0].test.inputs]
    return torch.cat([inputs for inputs in held if isinstance(inputs, Tensor)])


@pytest.mark.parametrize(
    ("inputs", "hint"),
    [
        (bytes_of(9, 8, 3), ""),
        (bytes_of(3, 9, 8), ""),
        (bytes_of(9, 8, 1, top=65536, dtype=np.uint16), ""),
        (bytes_of(9, 8, 1, top=65536, dtype=">u2"), ""),
        (bytes_of(1, 9, 8, top=2, dtype=bool), ""),
        (bytes_of(9, 8, 4) / 255, ""),
        (bytes_of(9, 8, 3).astype(np.float16), "floats from 0 to 255 are taken as they are"),
        (bytes_of(1, 9, 8, dtype=np.uint16), "uint16, but no number is above 255: nearly black"),
        (bytes_of(3, 9, 3), "channels may be at both ends of (3, 9, 3): taken as the last"),
        (bytes_of(49), "rows of 49 bytes are taken as features; where they are pictures"),
    ],
)
def test_layouts_and_dtypes_mean_what_they_mean_in_a_file(
    tmp_path: Path, inputs: np.ndarray, hint: str
) -> None:
    np.savez(
        tmp_path / "a.npz",
        train_images=inputs[:12], test_images=inputs[12:],
        train_labels=LABELS[:12], test_labels=LABELS[12:],
    )  # fmt: skip
    file = arrays(path="a.npz", data_root=str(tmp_path), duplicates="allow")
    suite = given(inputs)
    expected = stored(file)
    assert stored(suite).dtype == expected.dtype
    assert torch.equal(stored(suite), expected)
    assert len(suite.notes) == bool(hint)
    for note in suite.notes:
        assert note.startswith("task 'a', train split: the array of inputs (12,")
        assert hint in note
        assert "suite." not in note
    assert not hint or any(hint in note for note in file.notes)
    if inputs.dtype.isnative and inputs.dtype != np.uint16:
        assert torch.equal(stored(given(torch.from_numpy(inputs))), expected)


def test_a_guess_is_overruled_as_its_line_says() -> None:
    grey = given(bytes_of(9, 8))
    assert stored(grey).shape == (24, 1, 9, 8)
    assert "uint8 taken as grey images (N, 1, H, W); channels=None takes" in grey.notes[0]
    sequences = given(bytes_of(9, 8) / 300, channels=None)
    assert stored(sequences).shape == (24, 9, 8)
    assert sequences.notes == ()
    both = bytes_of(3, 9, 3)
    assert torch.equal(stored(given(both, channels="first")), torch.from_numpy(both))
    assert stored(given(bytes_of(9, 8, 12), channels="last")).shape == (24, 12, 9, 8)
    levels = bytes_of(1, 9, 8)
    for wide in (levels.astype(np.int64) * 4, levels * 4.0):
        scaled = given(wide, value_range=(0, 1020))
        assert torch.equal(stored(scaled), torch.from_numpy(levels))
        assert scaled.tasks[0].pictures.value_range == (0, 1020)
    tokens = given(bytes_of(5, dtype=np.int64))
    assert stored(tokens).dtype == torch.int64
    assert "int64 stays whole numbers, as tokens are" in tokens.notes[0]


@pytest.mark.parametrize(
    ("inputs", "kwargs", "message"),
    [
        (bytes_of(9, 8, 3, dtype=np.int64), {}, r"holds int64, whose .* with value_range=.LOW, HI"),
        (
            bytes_of(9, 8, dtype=np.int16),
            {},
            r"inputs \(12, 9, 8\) holds int16, whose range is not",
        ),
        (bytes_of(9, 8, 12), {}, "neither 1, 3 nor 4 channels; .* channels='first' or 'last'"),
        (bytes_of(2, 2, 9, 8), {}, r"should have shape \(N, H, W\), .*found \(12, 2, 2, 9, 8\)"),
        (bytes_of(9, 8, 3) * 1.0, {"value_range": (0, 9)}, "from 0 to 9: .* with value_range=.LOW"),
        (bytes_of(9, 8, 3), {"value_range": 3}, "value_range should be two numbers, .*, found 3"),
        (bytes_of(9, 8, 3), {"value_range": (0, 1, 2)}, "value_range should be two numbers"),
        (bytes_of(9, 8, 3), {"channels": "lst"}, "unknown channels 'lst'; did you mean 'last'"),
        (bytes_of(9), {"value_range": (0, 1), "channels": None}, "value_range is for images"),
    ],
)
def test_what_cannot_be_known_is_refused(inputs: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(MtlError, match=message) as caught:
        given(inputs, **kwargs)
    assert "suite." not in str(caught.value)
    assert "\n" not in str(caught.value)


class Items:
    """A data set of arrays."""

    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return self.inputs[row], row % 2


def test_items_and_inputs_of_a_frame_are_read_alike() -> None:
    pandas = pytest.importorskip("pandas")
    last = bytes_of(9, 8, 3)
    expected = torch.from_numpy(last.transpose(0, 3, 1, 2).copy())
    for inputs in (last, torch.from_numpy(last), expected):
        suite = Suite.from_datasets({"a": (Items(inputs), Items(inputs[:4]))})
        assert torch.equal(stored(suite)[:24], expected)
        frame = pandas.DataFrame({"t": LABELS, "part": ["train", "test"] * 12})
        framed = Suite.from_frame(frame, ["t"], inputs, "part")
        assert torch.equal(stored(framed)[:12], expected[::2])
    loud = Suite.from_datasets({"a": (Items(last * 1.0), Items(last * 1.0))})
    assert "train split: the array of inputs (1, 9, 8, 3): floats from" in loud.notes[0]
    both = Suite.from_datasets({"a": (Items(bytes_of(1, 5, 4)),) * 2})
    assert both.input_shape == (1, 5, 4)
    assert "both ends of (1, 5, 4): taken as the first; channels='last' takes" in both.notes[0]
    with pytest.raises(MtlError, match="holds int64, whose range is not known"):
        Suite.from_datasets({"a": (Items(last.astype(int)),) * 2})


def test_classes_without_a_training_example_are_told() -> None:
    x = np.arange(24.0)[:, None]
    tasks = {
        "word": ((x, ["u", "v"] * 12), None, (x + 99, ["u", "w", "w", None] * 6)),
        "flag": ((x, LABELS * 0), (x + 99, LABELS)),
        "size": ((x, LABELS * 1.5), (x + 99, LABELS + 0.25)),
        "code": ((x, LABELS), (x + 99, np.arange(24))),
    }
    suite = Suite.from_arrays(tasks, kinds={"flag": "binary", "code": "classes"})
    told = [note for note in suite.notes if "no training example" in note]
    end = ", which test has: networks cannot know such a class"
    assert told[:2] == [
        f"task 'word': no training example of 'w' (12 there){end}",
        f"task 'flag': no training example of '1' (12 there){end}",
    ]
    assert "'2' (1 there), '3' (1 there), '4' (1 there)" in told[2]
    assert "and 17 more, which test has" in told[2]
    assert len(told) == 3


def test_a_network_that_cannot_read_whole_numbers_says_what_they_are_taken_for(
    tmp_path: Path,
) -> None:
    suite = given(bytes_of(3, 8, 8, dtype=np.int64), channels=None)
    with pytest.raises(MtlError, match="whole numbers are read as tokens are: make floats"):
        run(
            "routed", "tiny", suite, output=tmp_path / "r",
            plugins=TinyPlugins(), iterations=1, device="cpu", progress=False,
        )  # fmt: skip
