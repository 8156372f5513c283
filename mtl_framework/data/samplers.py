"""Samplers: the order in which a task's training examples are read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from ..support.errors import MtlError


@dataclass(frozen=True)
class Draw:
    """A draw is a task's part of a batch: which examples, and seeds for their transforms.

    Args:
        rows: numbers of the examples.
        seeds: a seed for the random transforms of each example.
        starts: whether streams begin anew with this batch.
    """

    rows: Int64[Tensor, " rows"]
    seeds: Int64[Tensor, " rows"]
    starts: bool = False


class Order(ABC):
    """An endless sequence of draws, which can be saved and continued."""

    @abstractmethod
    def next(self) -> Draw:
        """Return the next draw."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return tensors and ints that say where the sequence stands."""

    @abstractmethod
    def at(self, state: Any) -> "Order":
        """Return the same order as it stood when ``state`` was taken; this one does not change.

        Raises:
            MtlError: if the state does not fit.
        """


class ShuffledOrder(Order):
    """This order takes all rows at random, then in another random order, and so on.

    Args:
        rows: numbers of the examples to read.
        size: number of examples in a batch, at least 1; a batch may straddle two permutations.
        seed: decides the permutations.
        transformed: whether a seed is drawn for each example, too.
    """

    def __init__(
        self, rows: Int64[Tensor, " rows"], size: int, seed: int, transformed: bool = False
    ) -> None:
        self._rows = rows
        self._size = size
        self._transformed = transformed
        self._generator = torch.Generator().manual_seed(seed)
        self._permutation = torch.randperm(len(rows), generator=self._generator)
        self._position = 0

    def next(self) -> Draw:
        """Draw the next ``size`` examples."""
        parts = []
        missing = self._size
        while missing:
            if self._position == len(self._rows):
                self._permutation = torch.randperm(len(self._rows), generator=self._generator)
                self._position = 0
            part = self._permutation[self._position : self._position + missing]
            self._position += len(part)
            missing -= len(part)
            parts.append(part)
        rows = self._rows[torch.cat(parts)]
        seeds = torch.zeros_like(rows)
        if self._transformed:
            seeds.random_(generator=self._generator)
        return Draw(rows, seeds)

    def state_dict(self) -> dict[str, Any]:
        """Return the permutation, the position in it, and the generator's state."""
        return {
            "permutation": self._permutation.clone(),
            "position": self._position,
            "generator": self._generator.get_state(),
        }

    def at(self, state: Any) -> "ShuffledOrder":
        """Return an order of the same examples that continues from ``state``."""
        if not isinstance(state, Mapping) or set(state) != {"permutation", "position", "generator"}:
            raise MtlError("its keys should be permutation, position and generator")
        permutation, position = state["permutation"], state["position"]
        count = len(self._rows)
        if (
            not isinstance(permutation, Tensor)
            or permutation.dtype != torch.int64
            or not torch.equal(permutation.sort().values, torch.arange(count))
        ):
            raise MtlError(f"its permutation should be of the {count} examples there are")
        if not isinstance(position, int) or not 0 <= position <= count:
            raise MtlError(f"its position should be from 0 to {count}, found {position!r}")
        order = ShuffledOrder(self._rows, self._size, 0, self._transformed)
        try:
            order._generator.set_state(state["generator"])
        except (RuntimeError, TypeError) as error:
            raise MtlError("its generator's state is not one of torch's CPU generator") from error
        order._permutation, order._position = permutation.clone(), position
        return order


class StreamOrder(Order):
    """This order takes the windows of parallel streams from the first to the last, and again.

    Args:
        num_examples: number of examples, a multiple of ``streams``.
        streams: number of streams, which is the number of examples in a batch.
    """

    def __init__(self, num_examples: int, streams: int) -> None:
        self._windows = num_examples // streams
        self._streams = streams
        self._position = 0

    def next(self) -> Draw:
        """Draw the next window of every stream."""
        window = self._position
        self._position = (window + 1) % self._windows
        rows = torch.arange(window * self._streams, (window + 1) * self._streams)
        return Draw(rows, torch.zeros_like(rows), window == 0)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the next window."""
        return {"position": self._position}

    def at(self, state: Any) -> "StreamOrder":
        """Return an order of the same streams that continues from ``state``."""
        if not isinstance(state, Mapping) or set(state) != {"position"}:
            raise MtlError("its key should be position")
        position = state["position"]
        if not isinstance(position, int) or not 0 <= position < self._windows:
            raise MtlError(
                f"its position should be from 0 to {self._windows - 1}, found {position!r}"
            )
        order = StreamOrder(self._windows * self._streams, self._streams)
        order._position = position
        return order


@dataclass(frozen=True)
class Part:
    """A process of several reads this part of every batch.

    Args:
        number: number of the part, from 0 on.
        count: number of parts, all of one size.
    """

    number: int = 0
    count: int = 1


class PartOrder(Order):
    """A part of every draw of another order: of rows 0 to 5, part 1 of 3 has rows 2 and 3.

    Its state is that of the whole order, whatever the number of parts.

    Args:
        order: the whole order; its draws have a multiple of ``part.count`` rows.
        part: number of this part, and number of all parts.
    """

    def __init__(self, order: Order, part: Part) -> None:
        self._order = order
        self._part = part

    def next(self) -> Draw:
        """Draw for all parts, and return this one's."""
        draw = self._order.next()
        size = len(draw.rows) // self._part.count
        own = slice(self._part.number * size, (self._part.number + 1) * size)
        return Draw(draw.rows[own], draw.seeds[own], draw.starts)

    def state_dict(self) -> dict[str, Any]:
        """Return where the whole order stands."""
        return self._order.state_dict()

    def at(self, state: Any) -> "PartOrder":
        """Return the same part of the whole order at ``state``."""
        return PartOrder(self._order.at(state), self._part)
