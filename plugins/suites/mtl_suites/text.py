"""Text as parallel streams of windows, for recurrent language models."""

from collections.abc import Iterable

import torch
from jaxtyping import Int64
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Examples


def numbered(
    parts: dict[str, Iterable[str]],
) -> tuple[dict[str, Int64[Tensor, " _"]], tuple[str, ...]]:
    """Tokens as numbers, in the order in which they first occur, and the vocabulary.

    Args:
        parts: tokens by the name of their part; the parts' order counts.
    """
    numbers: dict[str, int] = {}
    found = {
        name: torch.tensor([numbers.setdefault(token, len(numbers)) for token in tokens])
        for name, tokens in parts.items()
    }
    return found, tuple(numbers)


def windows(tokens: Int64[Tensor, " _"], streams: int, positions: int, what: str) -> Examples:
    """A text cut into streams of equal lengths, each of them read ``positions`` tokens at a time.

    The target of every position is the token that follows it. What does not fill the streams, or
    a last window, is left out.

    Args:
        tokens: of the whole text.
        streams: how many are read in parallel.
        positions: tokens of a window.
        what: the text, for messages.

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
