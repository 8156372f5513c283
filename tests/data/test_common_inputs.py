"""Inputs that one backbone cannot read are refused with what differs and what helps."""

import re

import pytest
import torch

from mtl_framework.data import Classification, Examples, Suite, Task
from mtl_framework.support.errors import MtlError


def with_inputs(name: str, shape: tuple[int, ...]) -> Task:
    data = Examples(torch.zeros(4, *shape), torch.arange(4) % 2)
    return Task(name, Classification(2), data, data)


@pytest.mark.parametrize(
    ("shape", "expected", "parts"),
    [
        ((1, 4, 4), (3, 4, 4), ["1 .grey. against 3 .RGB.", "three equal channels in the data"]),
        ((3, 4, 4), (1, 4, 4), ["1 .grey. against 3 .RGB.", "make all of them grey"]),
        ((4, 4, 4), (3, 4, 4), ["make the channels as many, as 4 and 3 differ"]),
        ((3, 4, 6), (3, 4, 4), ["heights and widths differ, 4x6 against 4x4, so resize"]),
        ((1, 4, 6), (3, 4, 4), ["three equal channels", "4x6 against 4x4, so resize"]),
        ((7,), (9,), ["dimension 0 has 7 entries against 9"]),
        ((7,), (1, 4, 4), ["1 against 3 dimensions"]),
    ],
)
def test_what_differs_between_inputs_is_said_with_what_helps(
    shape: tuple[int, ...], expected: tuple[int, ...], parts: list[str]
) -> None:
    with pytest.raises(MtlError) as error:
        Suite("s", [with_inputs("a", expected), with_inputs("b", shape)])
    told = str(error.value)
    assert all(re.search(part, told) for part in parts), told
    assert ("resize" in told) == (shape[1:] != expected[1:] and len(shape) == 3)
