"""Recurrent language models read text as parallel streams of windows."""

from collections.abc import Iterable

import torch
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Examples


def numbered(
    parts: dict[str, Iterable[str]],
) -> tuple[dict[str, Int64[Tensor, " _"]], tuple[str, ...]]:
    """Return the tokens of all parts as numbers, and the vocabulary.

    Tokens are numbered from 0 in the order in which they first occur.

    Args:
        parts: tokens of every part, in the order in which parts are numbered.
    """
    numbers: dict[str, int] = {}
    found = {
        name: torch.tensor([numbers.setdefault(token, len(numbers)) for token in tokens])
        for name, tokens in parts.items()
    }
    return found, tuple(numbers)


def windows(tokens: Int64[Tensor, " _"], streams: int, positions: int, what: str) -> Examples:
    """Cut a text into streams of equal lengths, and these into windows.

    The target of every position is the token that follows it. Tokens at the end that do not fill
    the streams, or a last window of each, are left out. With tokens 0 to 13, 2 streams and 3
    positions the streams are 0 to 6 and 7 to 13, and the rows are, window by window, [0, 1, 2],
    [7, 8, 9], [3, 4, 5], [10, 11, 12]; the targets of the first row are [1, 2, 3].

    Args:
        tokens: tokens of the whole text.
        streams: number of streams that are read in parallel.
        positions: number of tokens of a window.
        what: what the text is called in messages.

    Raises:
        MtlError: if the text is too short for one window.
    """
    length = len(tokens) // streams
    count = (length - 1) // positions
    if count < 1:
        raise MtlError(
            f"{what} has {len(tokens)} tokens; {streams} streams with windows of {positions} need "
            f"at least {streams * (positions + 1)}"
        )
    rows = tokens[: streams * length].view(streams, length)

    def cut(start: int) -> Tensor:
        part = rows[:, start : start + count * positions]
        return part.reshape(streams, count, positions).transpose(0, 1).flatten(0, 1).contiguous()

    return Examples(cut(0), cut(1), streams=streams)
