"""Balanced batches: every batch holds examples of every task."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..support.errors import MtlError
from .held_out import stratified_share
from .images import RAW, ImageNormalization, prepare
from .joint import apply_jointly, map_objectives
from .placement import rows_of, targets_on
from .readers import Reader, labelled_rows, readers, seed_of
from .samplers import Draw, Part
from .streaming import Rows, Stream
from .tasks import Examples, Suite, Task


@dataclass(frozen=True)
class LabelledRows:
    """The rows of a task that have a label, among those of a batch or a part of a split.

    Args:
        mask: (rows,), True where a row has a label; ``None``: every row has one.
    """

    mask: Bool[Tensor, " _"] | None

    @property
    def is_empty(self) -> bool:
        """Say whether no row has a label."""
        return self.mask is not None and not bool(self.mask.any())

    def of(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Select the labelled rows of tensors (rows, ...); each stays on its own device."""
        if self.mask is None:
            return values
        rows = self.mask.nonzero().squeeze(1)
        return tuple(value.index_select(0, rows.to(value.device)) for value in values)


@dataclass(frozen=True)
class Batch:
    """A batch holds one training batch, task by task.

    Args:
        inputs: for every task t its inputs (B_t, ...); with ``common_input`` the same tensor
            for every t.
        targets: for every task t its targets (B_t, ...).
        common_input: whether all tasks read the same rows.
        labelled: for every task which of its rows (B_t,) have a label, or ``None`` where all
            have one. Empty: all rows of all tasks have labels.
        starts: for every task whether its streams begin anew with this batch: recurrent
            networks then reset their state. Empty: no task's streams do.
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
            count = len(getattr(self, name))
            if count != len(self.inputs) and (count or name == "targets"):
                raise ValueError(f"a batch of {len(self.inputs)} tasks holds {count} {name}")

    def select(self, task: int) -> LabelledRows:
        """Return the rows of a task that have a label."""
        return LabelledRows(self.labelled[task] if self.labelled else None)

    @property
    def labelled_tasks(self) -> tuple[int, ...]:
        """Return the positions of the tasks that have at least one label in the batch."""
        return tuple(task for task in range(len(self.inputs)) if not self.select(task).is_empty)

    def label_weights(self) -> Float[Tensor, " tasks"]:
        """Return the tasks' weights: 1 for a task with a label in the batch, 0 for others."""
        weights = torch.zeros(len(self.inputs))
        weights[list(self.labelled_tasks)] = 1
        return weights


class BalancedBatches:
    """This endless sequence gives training batches, each with examples of every task.

    A batch holds as many examples of a task as :attr:`Task.batch_size` says, or ``batch_size``
    where the task says nothing. Each task's training examples are used in a random order, every one
    once, then in another order, and so on; a batch may straddle two orders, and a task with fewer
    examples than its batch repeats some in it. A task's order depends on ``seed`` and the task's
    name only, whatever other tasks there are. Examples without a label are left out. Streams are
    read in their own order.

    Tasks with a common input share one order, over the examples that have a label for any task;
    which have one for each task goes with the batch.

    Training data is copied to the device once, as it is, and batches are gathered there; or, with
    ``streamed``, worker processes read them ahead. Both give the same batches.

    Args:
        suite: the suite whose training splits are read.
        batch_size: examples of a task in a batch, unless the task has its own number; at least 1.
        seed: decides the order of examples and the random transforms.
        device: the device on which batches are made.
        normalizations: one for each task, see :func:`prepare`; default: none is normalised.
        streamed: read images when they are needed, rather than keep them on the device.
        workers: number of processes that read streamed images; 0: this process reads them.
        part: the part of every batch that is read, where several processes train together;
            default: all of it.

    Raises:
        MtlError: if tasks with a common input differ in their batch sizes, a normalization does
            not fit the inputs, an image that is kept on the device cannot be read, or batches
            cannot be divided.

    Source: Prellberg and Kramer 2020, arXiv 2003.10159, by their published code.
    """

    def __init__(
        self,
        suite: Suite,
        batch_size: int,
        seed: int,
        device: torch.device,
        normalizations: Sequence[ImageNormalization] = (),
        streamed: bool = False,
        workers: int = 0,
        part: Part | None = None,
    ) -> None:
        if batch_size < 1:
            raise MtlError(f"batch_size should be at least 1, found {batch_size}")
        self._device = device
        self._normalizations = list(normalizations) or [RAW] * len(suite)
        # tasks that read the same input in two normalizations have no common input
        self._common_input = suite.common_input and len(set(self._normalizations)) == 1
        self._readers = readers(suite, batch_size)
        for reader in self._readers:
            for task in reader.tasks:
                # raises now what would raise later
                empty = torch.zeros(1, *reader.data.input_shape, dtype=reader.data.inputs.dtype)
                prepare(empty, *self._normalizations[task])
        self._num_classes = [task.objective.num_outputs for task in suite.tasks]
        self._targets = targets_on(device, suite)
        self._labelled = [_mask(task, suite.common_input, device) for task in suite.tasks]
        self._masked = any(mask is not None for mask in self._labelled)
        self._part = part
        self._orders = {reader.name: reader.order(seed, part) for reader in self._readers}
        self._maps = map_objectives(suite.tasks)
        # images of maps are transformed together with these, once the batch is there
        sources = [
            Rows(r.data.inputs, None if self._jointly(r) else r.data.transform)
            for r in self._readers
        ]
        self._held = None if streamed else [rows.to(device, workers) for rows in sources]
        self._sources, self._workers = sources, workers
        self._stream = self._new_stream() if streamed else None
        self._parts: list[BalancedBatches] = []

    def next(self) -> Batch:
        """Return the next batch, on the device, images as floats.

        Raises:
            MtlError: naming a streamed image that cannot be read.
        """
        if self._stream is not None:
            if not self._stream.running:
                self._stream.start(
                    [order.at(order.state_dict()) for order in self._orders.values()]
                )
            raw = [x.to(self._device, non_blocking=True) for x in self._stream.next()]
        draws = [order.next() for order in self._orders.values()]
        if self._held is not None:
            raw = [rows.read(draw) for rows, draw in zip(self._held, draws, strict=True)]
        return self._batch(raw, draws)

    def _jointly(self, reader: Reader) -> bool:
        moved = reader.data.transform is not None
        return moved and any(task in self._maps for task in reader.tasks)

    def _new_stream(self) -> Stream:
        return Stream(self._sources, self._workers, pinned=self._device.type == "cuda")

    def split(self, share: float, seed: int) -> tuple["BalancedBatches", "BalancedBatches"]:
        """Divide the training examples in two and return batches of each part.

        This object stays as it is. Both parts read the inputs that it holds on the device; each has
        an order and a state of its own.

        Args:
            share: share of every task's examples that goes to the second part, from 0 to 1,
                stratified by target.
            seed: decides the split and the order of examples.

        Raises:
            MtlError: if examples are streams, whose order is given, or too few.
        """
        kept, held = copy.copy(self), copy.copy(self)
        readers: list[tuple[Reader, Reader]] = []
        for reader in self._readers:
            if reader.data.streams is not None:
                raise MtlError(
                    f"task {reader.name!r} is read as streams, in their own order: no share of its "
                    "training examples can be held out"
                )
            targets = [self._targets[task].cpu() for task in reader.tasks]
            generator = torch.Generator().manual_seed(seed_of(seed, reader.name))
            masks = [None if (m := self._labelled[t]) is None else m.cpu() for t in reader.tasks]
            rows = stratified_share(reader.rows, targets, share, generator, masks)
            readers.append((replace(reader, rows=rows[0]), replace(reader, rows=rows[1])))
        for number, part in enumerate((kept, held)):
            part._readers = [pair[number] for pair in readers]
            own = seed_of(seed, f"part {number}")
            part._orders = {r.name: r.order(own, self._part) for r in part._readers}
            part._stream = self._new_stream() if self._stream is not None else None
            part._parts = []
        self._parts += [kept, held]
        return kept, held

    def _batch(self, raw: Sequence[Tensor], draws: Sequence[Draw]) -> Batch:
        tasks = range(len(self._targets))
        inputs: dict[int, Tensor] = {}
        targets: dict[int, Tensor] = {}
        labelled: dict[int, Tensor | None] = {}
        starts: dict[int, bool] = {}
        for reader, x, draw in zip(self._readers, raw, draws, strict=True):
            rows = draw.rows.to(self._device, non_blocking=True)
            own = {t: rows_of(self._targets[t], draw.rows, rows) for t in reader.tasks}
            if self._jointly(reader):
                assert reader.data.transform is not None
                maps = {t: (o, own[t]) for t, o in self._maps.items() if t in own}
                x, moved = apply_jointly(reader.data.transform, x, draw.seeds, maps)
                own |= moved
            prepared: dict[ImageNormalization, Tensor] = {}
            for task in reader.tasks:
                normalization = self._normalizations[task]
                if normalization not in prepared:
                    prepared[normalization] = prepare(x, *normalization)
                mask = self._labelled[task]
                inputs[task] = prepared[normalization]
                targets[task] = own[task]
                labelled[task] = None if mask is None else mask[rows]
                starts[task] = draw.starts
            if reader.mixing is not None:
                self._mix(reader, int(draw.seeds[0]), inputs, targets)
        return Batch(
            tuple(inputs[t] for t in tasks),
            tuple(targets[t] for t in tasks),
            self._common_input,
            tuple(labelled[t] for t in tasks) if self._masked else (),
            tuple(starts[t] for t in tasks) if any(starts.values()) else (),
        )

    def _mix(
        self, reader: Reader, seed: int, inputs: dict[int, Tensor], targets: dict[int, Tensor]
    ) -> None:
        """Mix the rows that some tasks read; tasks that share an input tensor still share one."""
        assert reader.mixing is not None
        for images in {id(inputs[task]): inputs[task] for task in reader.tasks}.values():
            tasks = [task for task in reader.tasks if inputs[task] is images]
            classes = [(targets[task], self._num_classes[task]) for task in tasks]
            mixed, shares = reader.mixing.mix(images, classes, seed)
            for task, soft in zip(tasks, shares, strict=True):
                inputs[task], targets[task] = mixed, soft

    def state_dict(self) -> dict[str, Any]:
        """Return where every task's order of examples stands: tensors and ints, by task name."""
        return {name: order.state_dict() for name, order in self._orders.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the order of examples stood when ``state`` was taken.

        Raises:
            MtlError: if the state belongs to other tasks or other numbers of examples; nothing
                has changed then.
        """
        if set(state) != set(self._orders):
            odd = ", ".join(sorted(set(state) ^ set(self._orders)))
            raise MtlError(f"the saved order of training examples is of other tasks: {odd}")
        orders = {}
        for name, order in self._orders.items():
            try:
                orders[name] = order.at(state[name])
            except MtlError as error:
                raise MtlError(
                    f"the saved order of training examples of task {name!r} does not fit: {error}"
                ) from None
        self._orders = orders
        self.close()

    def close(self) -> None:
        """End the worker processes, also those of :meth:`split`; the next batch restarts them."""
        for part in (self, *self._parts):
            if part._stream is not None:
                part._stream.stop()


def _mask(task: Task, common_input: bool, device: torch.device) -> Bool[Tensor, " rows"] | None:
    """Return which examples have a label, or ``None`` if all examples have one."""
    labelled = task.train.labelled
    return labelled.to(device) if common_input and labelled is not None else None


def evaluation_batches(
    examples: Examples,
    batch_size: int,
    device: torch.device,
    normalization: ImageNormalization = RAW,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all examples that have a label, in their order, as (inputs, targets) on the device.

    Args:
        examples: one split of a task.
        batch_size: number of rows in each part, perhaps fewer in the last; streams come window by
            window instead.
        device: the device of what is yielded.
        normalization: is applied to uint8 images, see :func:`prepare`.
        workers: number of processes that read images from files; 0: this one.

    Raises:
        MtlError: naming an image that cannot be read.
    """
    rows = labelled_rows([examples])
    for part, inputs in input_batches(examples, rows, batch_size, device, normalization, workers):
        yield inputs, examples.targets[part].to(device)


def input_batches(
    examples: Examples,
    rows: Int64[Tensor, " rows"],
    batch_size: int,
    device: torch.device,
    normalization: ImageNormalization = RAW,
    workers: int = 0,
) -> Iterator[tuple[Int64[Tensor, " part"], Tensor]]:
    """Yield rows of ``examples`` as (row numbers, inputs); see :func:`evaluation_batches`."""
    parts = torch.split(rows, examples.streams or batch_size)
    # a random transform, which evaluation can have, does the same to an example every time
    draws = [Draw(part, part) for part in parts]
    source = Rows(examples.inputs, examples.transform)
    for part, inputs in zip(parts, source.read_all(draws, workers, device), strict=True):
        yield part, prepare(inputs.to(device, non_blocking=True), *normalization)
