"""Suites are made from torch data sets that a program holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..support.errors import MtlError
from .copies import copies_notes
from .given import GivenSuite, Part, check_kinds, check_tasks, make_task, named_type, three_splits
from .given_inputs import Reading, as_array
from .given_labels import GivenLabels, marked_notes
from .images import channels_first
from .pictures import plain_picture
from .streaming import LazyInputs

#: Images of data sets are read into memory up to so many bytes together, beyond that when needed.
MOST_READ = 2**30
_PEEKED = 4  # items that are read twice, to see whether they are the same
_COLOURS = 3


def suite_from_datasets(
    tasks: Mapping[str, Sequence[Any]], kinds: Mapping[str, Any], reading: Reading
) -> GivenSuite:
    """Make a suite of torch data sets, see :meth:`Suite.from_datasets`."""
    check_tasks(tasks)
    check_kinds(kinds, tasks)
    made, notes = [], []
    for task, datasets in tasks.items():
        splits = {
            split: _scan(_Reading(dataset, f"task {task!r}, {split} split", reading))
            for split, dataset in three_splits(task, datasets).items()
        }
        colours = any(scanned.reading.colours for scanned in splits.values())
        labels = {
            split: GivenLabels.of(scanned.labels, scanned.reading.where)
            for split, scanned in splits.items()
        }
        hints = (scanned.reading.hints for scanned in splits.values())
        notes += [*next(filter(None, hints), []), *marked_notes(task, labels.values())]
        parts = {split: _part(splits[split], labels[split], colours) for split in splits}
        task_made = make_task(task, parts, kinds.get(task), f"task {task!r}")
        made.append(replace(task_made, pictures=reading.pictures))
        notes += task_made.notes
        notes += copies_notes(task, task_made.splits)
    return GivenSuite(made, notes=notes)


@dataclass(frozen=True)
class _Scanned:
    """A data set that was read once: its first image, all images if they are kept, all labels."""

    reading: "_Reading"
    first: Tensor
    inputs: list[Tensor] | None
    labels: list[Any]


def _scan(reading: "_Reading") -> _Scanned:
    where = reading.where
    if not (hasattr(reading.dataset, "__getitem__") and hasattr(reading.dataset, "__len__")):
        raise MtlError(
            f"{where} should be a data set with a length whose items have numbers, found "
            f"{named_type(reading.dataset)}"
        )
    count = len(reading.dataset)
    if not count:
        raise MtlError(f"{where}: the data set has no item")
    for row in range(min(_PEEKED, count)):
        first, second = (reading.item(row)[0] for _ in range(2))
        if first.shape != second.shape or not torch.equal(first, second):
            raise MtlError(
                f"{where}: item {row} has different inputs each time that it is read, as with "
                "random transforms: leave them out of the data set and set them at augmentation.all"
            )
    image = reading.item(0)[0]
    kept = image.dtype != torch.uint8 or count * image.numel() <= MOST_READ
    inputs: list[Tensor] = []
    labels: list[Any] = []
    for row in range(count):
        tensor, label = reading.item(row)
        if (reading.plain_shape(tensor), tensor.dtype) != (reading.plain_shape(image), image.dtype):
            raise MtlError(
                f"{where}: item {row} has inputs {tensor.dtype} of shape {tuple(tensor.shape)}, "
                f"the first one {image.dtype} of {tuple(image.shape)}"
            )
        if kept:
            inputs.append(tensor)
        labels.append(label)
    return _Scanned(reading, image, inputs if kept else None, labels)


def _part(scanned: _Scanned, labels: GivenLabels, colours: bool) -> Part:
    """Return a split; with ``colours`` its grey pictures get three channels, as others have."""
    reading = scanned.reading
    reading.colours = colours
    count = len(scanned.labels)
    held: Tensor | LazyInputs
    if scanned.inputs is None:
        held = LazyInputs(range(count), tuple(reading.widened(scanned.first).shape), reading)
    else:
        held = torch.stack([reading.widened(tensor) for tensor in scanned.inputs])
    names = tuple(map(str, getattr(reading.dataset, "classes", None) or ()))
    return Part(held, labels.values, labels.present, names)


class _Reading:
    """Reads items of a data set; worker processes hold a copy.

    Pictures of Pillow's become (C, H, W) bytes by the one reader of pictures. They are grey where
    all of them are, and of three colours where one is.
    """

    def __init__(self, dataset: Any, where: str, form: Reading) -> None:
        self.dataset, self.where, self._form = dataset, where, form
        self.hints: list[str] | None = None  # on how the first array is read
        self.pictures = self.colours = False

    def __call__(self, row: int) -> Tensor:
        return self.widened(self.item(row)[0])

    def item(self, row: int) -> tuple[Tensor, Any]:
        """Return input and label of an item; a grey picture has one channel."""
        item = self.dataset[row]
        if not isinstance(item, Sequence) or len(item) != 2:
            raise MtlError(f"{self.where}: item {row} should be a pair of input and label")
        value, label = item
        if isinstance(value, Image.Image):
            try:
                tensor = channels_first(plain_picture(value, None, self._form.pictures))
            except MtlError as error:
                raise MtlError(f"{self.where}: picture {row} {error}") from error
            self.pictures = True
            self.colours = self.colours or len(tensor) == _COLOURS
        else:
            array = as_array([value] if not hasattr(value, "ndim") else value[None], self.where)
            if self.hints is None:
                self.hints = self._form.hints(array, self.where)
            tensor = self._form.tensor(array, self.where)[0]
        return tensor, label.detach().cpu().numpy() if isinstance(label, Tensor) else label

    def plain_shape(self, inputs: Tensor) -> tuple[int, ...]:
        """Return the shape that all items have in common, for pictures height and width."""
        return tuple(inputs.shape[1:] if self.pictures else inputs.shape)

    def widened(self, inputs: Tensor) -> Tensor:
        """Return a grey picture with three equal channels, because other pictures have colours."""
        narrow = self.pictures and self.colours and len(inputs) == 1
        return inputs.expand(_COLOURS, -1, -1) if narrow else inputs
