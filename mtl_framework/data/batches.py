"""Balanced batches: every task has a part in every batch."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from ..errors import MtlError
from ..tasks import Examples, Suite


@dataclass(frozen=True)
class Batch:
    """One training batch, task by task.

    Args:
        inputs: (B_t, ...) of every task t. With ``common_input`` one tensor for every t.
        targets: (B_t, ...) of every task.
        common_input: all tasks read the same rows.
        labelled: (B_t,), which rows of a task have a label, or ``None``: all of them. Empty: all
            rows of all tasks have labels.
        starts: True for tasks whose streams begin anew with this batch: recurrent networks then
            reset their state. Empty: False for all.
    """

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    common_input: bool = False
    labelled: tuple[Bool[Tensor, " _"] | None, ...] = ()
    starts: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if self.common_input and any(x is not self.inputs[0] for x in self.inputs):
            raise ValueError("a batch with a common input holds one input tensor for all tasks")
        for name in ("targets", "labelled", "starts"):
            found = len(getattr(self, name))
            if found != len(self.inputs) and (found or name == "targets"):
                raise ValueError(f"a batch of {len(self.inputs)} tasks holds {found} {name}")


class BalancedBatches:
    """An endless sequence of training batches.

    Of every task a batch has its ``batch_size`` examples, else ``batch_size`` ones. Each task's
    training examples are used in a random order, every one once, then in another order, and so on;
    a batch may straddle two orders, and a task with fewer examples than its batch repeats some in
    it. A task's order depends on ``seed`` and the task's name only, whatever other tasks there
    are. Tasks with a common input share one order.

    Training data is copied to the device once, as it is, and batches are gathered there.

    Args:
        suite: whose training splits are used.
        batch_size: examples of a task in a batch, unless the task has its own number; at least 1.
        seed: of the orders.
        device: where batches are made.
        mean: see :func:`prepare`.
        std: see :func:`prepare`.

    Raises:
        MtlError: if tasks with a common input differ in their batch sizes, or ``mean`` or ``std``
            does not fit the inputs.

    Source: Prellberg and Kramer 2020, arXiv 2003.10159, by their published code.
    """

    def __init__(
        self,
        suite: Suite,
        batch_size: int,
        seed: int,
        device: torch.device,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        if batch_size < 1:
            raise MtlError(f"batch_size should be at least 1, found {batch_size}")
        sizes = [task.batch_size or batch_size for task in suite.tasks]
        self._common_input = suite.common_input
        readers = dict(zip(suite.task_names, zip(suite.tasks, sizes, strict=True), strict=True))
        if suite.common_input:
            for task, size in readers.values():
                if size != sizes[0]:
                    raise MtlError(
                        f"suite {suite.name!r} has a common input, but batch_size is {sizes[0]} "
                        f"for task {suite.tasks[0].name!r} and {size} for task {task.name!r}; "
                        "give all tasks one"
                    )
            readers = {"common input": (suite.tasks[0], sizes[0])}
        self._normalization = mean, std
        prepare(suite.tasks[0].train.inputs[:1], mean, std)  # raises now what would raise later
        self._inputs = [task.train.inputs.to(device) for task, _ in readers.values()]
        self._targets = [task.train.targets.to(device) for task in suite.tasks]
        self._sizes = [size for _, size in readers.values()]
        self._orders = {
            name: _Order(len(task.train), _seed(seed, name)) for name, (task, _) in readers.items()
        }

    def next(self) -> Batch:
        """The next batch, on the device; images as floats."""
        chosen = [
            order.take(size).to(inputs.device)
            for order, size, inputs in zip(
                self._orders.values(), self._sizes, self._inputs, strict=True
            )
        ]
        inputs = [
            prepare(inputs[rows], *self._normalization)
            for inputs, rows in zip(self._inputs, chosen, strict=True)
        ]
        if self._common_input:
            chosen *= len(self._targets)
            inputs *= len(self._targets)
        targets = [targets[rows] for targets, rows in zip(self._targets, chosen, strict=True)]
        return Batch(tuple(inputs), tuple(targets), self._common_input)

    def state_dict(self) -> dict[str, Any]:
        """The place in every task's order: tensors and ints, by task name."""
        return {name: order.state_dict() for name, order in self._orders.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where :meth:`state_dict` was taken.

        Raises:
            MtlError: if the state is not of these tasks and their numbers of examples; nothing has
                changed then.
        """
        if set(state) != set(self._orders):
            odd = ", ".join(sorted(set(state) ^ set(self._orders)))
            raise MtlError(f"the saved order of training examples is of other tasks: {odd}")
        orders = {}
        for name, order in self._orders.items():
            try:
                orders[name] = _Order.from_state(order.num_examples, state[name])
            except MtlError as error:
                raise MtlError(
                    f"the saved order of training examples of task {name!r} does not fit: {error}"
                ) from None
        self._orders = orders


class _Order:
    """A random order of numbers 0 to ``num_examples - 1``, then another one, and so on."""

    def __init__(self, num_examples: int, seed: int) -> None:
        self.num_examples = num_examples
        self._generator = torch.Generator().manual_seed(seed)
        self._permutation = torch.randperm(num_examples, generator=self._generator)
        self._position = 0

    def take(self, count: int) -> Int64[Tensor, "{count}"]:
        """The next numbers."""
        parts = []
        while count:
            if self._position == self.num_examples:
                self._permutation = torch.randperm(self.num_examples, generator=self._generator)
                self._position = 0
            part = self._permutation[self._position : self._position + count]
            self._position += len(part)
            count -= len(part)
            parts.append(part)
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Any]:
        return {
            "permutation": self._permutation.clone(),
            "position": self._position,
            "generator": self._generator.get_state(),
        }

    @classmethod
    def from_state(cls, num_examples: int, state: Any) -> "_Order":
        if not isinstance(state, Mapping) or set(state) != {"permutation", "position", "generator"}:
            raise MtlError("it should hold permutation, position and generator")
        permutation, position = state["permutation"], state["position"]
        if (
            not isinstance(permutation, Tensor)
            or permutation.dtype != torch.int64
            or not torch.equal(permutation.sort().values, torch.arange(num_examples))
        ):
            raise MtlError(f"its permutation should be of the {num_examples} examples there are")
        if not isinstance(position, int) or not 0 <= position <= num_examples:
            raise MtlError(f"its position should be from 0 to {num_examples}, found {position!r}")
        order = cls(num_examples, 0)
        try:
            order._generator.set_state(state["generator"])
        except (RuntimeError, TypeError) as error:
            raise MtlError("its generator's state is not one of torch's CPU generator") from error
        order._permutation, order._position = permutation.clone(), position
        return order


def prepare(
    inputs: Shaped[Tensor, "rows *dims"],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Shaped[Tensor, "rows *dims"]:
    """What a network reads: images of dtype uint8 become floats from 0 to 1, the rest stays.

    Args:
        inputs: images (N, C, ...) as uint8, or anything of another dtype.
        mean: subtracted from each channel of uint8 images after that, C numbers.
        std: each channel is divided by it afterwards, C numbers.

    Raises:
        MtlError: if there are not as many numbers as channels.
    """
    if inputs.dtype != torch.uint8:
        return inputs
    images = inputs.to(torch.get_default_dtype()) / 255
    for name, numbers in {"mean": mean, "std": std}.items():
        if numbers is not None and len(numbers) != inputs.shape[1]:
            raise MtlError(
                f"{name} should hold one number a channel, found {len(numbers)} for "
                f"{inputs.shape[1]} channels"
            )
    per_channel = (-1,) + (1,) * (inputs.ndim - 2)
    if mean is not None:
        images -= images.new_tensor(mean).view(per_channel)
    if std is not None:
        images /= images.new_tensor(std).view(per_channel)
    return images


def evaluation_batches(
    examples: Examples,
    batch_size: int,
    device: torch.device,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """All examples in their order, as (inputs, targets) on the device; see :func:`prepare`.

    Every part has ``batch_size`` rows, the last one perhaps fewer.
    """
    for start in range(0, len(examples), batch_size):
        rows = slice(start, start + batch_size)
        inputs = prepare(examples.inputs[rows].to(device), mean, std)
        yield inputs, examples.targets[rows].to(device)


def _seed(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
