"""What errors say: one line, also of exceptions whose texts have many lines or none."""

import pytest

from mtl_framework import message_of


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("wrong size\n  for weight:\n\tfound 3"), "wrong size for weight: found 3"),
        (EOFError(), "EOFError"),
        (RuntimeError(" \n "), "RuntimeError"),
        (KeyError("a"), "'a'"),
    ],
)
def test_an_exception_is_told_in_one_line(error: Exception, said: str) -> None:
    assert message_of(error) == said
