"""Tasks: data, loss and metric of everything that is trained together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from ..support.errors import MtlError, UnknownNameError
from .images import ImageNormalization
from .metrics.choice import chosen_main, chosen_metrics
from .metrics.metric import Metric
from .mixing import Mixing
from .objectives import Binary, Classification, LanguageModel, Objective, Regression, first_row
from .pictures import DEFAULT, PictureOptions
from .streaming import LazyInputs
from .transforms import ImageTransform

__all__ = [
    "SPLITS",
    "Binary",
    "Classification",
    "Examples",
    "LanguageModel",
    "Objective",
    "Regression",
    "Suite",
    "Task",
]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Examples:
    """Inputs and targets of one split, row by row.

    Args:
        inputs: (N, ...); images are (N, C, H, W), as uint8 in 0..255 or as floats. Images that are
            read when they are needed come as :class:`LazyInputs`.
        targets: (N,) or (N, ...), as the objective wants them.
        labelled: which examples have a label; ``None``: all. The others keep any valid target,
            which never enters a loss, a gradient or a metric.
        streams: the rows are windows of so many parallel streams, N a multiple of it: rows
            i * streams to (i + 1) * streams - 1 are the i-th windows of all. They are read in this
            order, ``streams`` rows a batch, and recurrent networks keep their state from batch to
            batch; after the last window everything begins anew.
        transform: of the images when batches are made, random ones too; in evaluation it does the
            same to an example every time.
        names: what the examples are called, wherever the data lies, one each; a run keeps them, to
            notice that data has changed. ``None``: it keeps digests of the inputs.
    """

    inputs: Tensor | LazyInputs
    targets: Tensor
    labelled: Bool[Tensor, " rows"] | None = None
    streams: int | None = None
    transform: ImageTransform | None = None
    names: Sequence[str] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def num_labelled(self) -> int:
        """How many examples have a label."""
        return len(self) if self.labelled is None else int(self.labelled.sum())

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, as batches have it."""
        shape = tuple(self.inputs.shape[1:])
        return shape if self.transform is None else self.transform.output_shape(shape)


@dataclass(frozen=True)
class Task:
    """One task of a suite.

    Args:
        name: unique within the suite.
        objective: loss and metric.
        train: examples to train on.
        test: examples for the final figures; nothing is ever chosen by them.
        validation: examples to choose by, where there are any.
        batch_size: training examples of this task in a batch; ``None``: the run's, or one window
            of every stream where the examples are streams.
        backbone: the task's own network: keys of a run's ``backbone`` section with at least
            ``name``, e.g. ``{"name": "lenet"}``; ``None``: the run's.
        normalization: of uint8 images; ``None``: the backbone's.
        image_transform: of images in files, before a prediction; ``None``: they are only resized.
        pictures: how images in files were read, so that a prediction reads them alike.
        main: name of the metric by which networks are chosen and compared; ``None``: the
            objective's own.
        reported: names of further metrics; ``None``: all that the objective has, but for the areas
            under curves of each class where there are more than 200 classes.
        mixing: of training examples in a batch; ``None``: none. Tasks with a common input have one.

    Raises:
        MtlError: naming the task and the split, on a split without examples or labels, inputs
            without a dimension beside the examples or with a number that is not finite, unequal
            lengths or shapes, labels out of range, streams of unequal lengths; on a name that is
            empty or not printable.
    """

    name: str
    objective: Objective
    train: Examples
    test: Examples
    validation: Examples | None = None
    batch_size: int | None = None
    backbone: Mapping[str, Any] | None = None
    normalization: ImageNormalization | None = None
    image_transform: ImageTransform | None = None
    pictures: PictureOptions = DEFAULT
    main: str | None = None
    reported: tuple[str, ...] | None = None
    mixing: Mixing | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable():
            raise MtlError(f"a task's name should be printable text, found {self.name!r}")
        if self.batch_size is not None and self.batch_size < 1:
            raise MtlError(
                f"task {self.name!r}: batch_size should be at least 1, found {self.batch_size}"
            )
        if self.train.streams is not None and self.batch_size not in (None, self.train.streams):
            raise MtlError(
                f"task {self.name!r}: batch_size should be left out or {self.train.streams}, the "
                f"number of its streams, found {self.batch_size}"
            )
        if self.backbone is not None and not isinstance(self.backbone.get("name"), str):
            raise MtlError(
                f"task {self.name!r}: backbone should have a name, found {dict(self.backbone)}"
            )
        for split, examples in self.splits().items():
            where = f"task {self.name!r}, {split} split"
            try:
                _check_rows(examples)
                _check_labels(examples)
                self.objective.check(examples.targets)
            except MtlError as error:
                raise MtlError(f"{where}: {error}") from None

    @property
    def main_metric(self) -> Metric | None:
        """The metric that the user has chosen; ``None``: that of the objective's scores.

        Raises:
            UnknownNameError: if the objective has no such metric.
        """
        return chosen_main(self.name, self.objective, self.main)

    @property
    def metric(self) -> str:
        """Label of the main metric, with its unit."""
        chosen = self.main_metric
        return self.objective.metric if chosen is None else chosen.label

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that are reported, the main one among them.

        Raises:
            UnknownNameError: if the objective has no such metric.
        """
        return chosen_metrics(self.name, self.objective, self.main, self.reported)

    def splits(self) -> dict[str, Examples]:
        """The splits that exist, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: examples for name, examples in found.items() if examples is not None}


def _check_rows(examples: Examples) -> None:
    inputs, targets = examples.inputs, examples.targets
    if inputs.ndim < 2 or targets.ndim < 1:
        raise MtlError(
            "inputs should have shape (N, ...) and targets (N,) or (N, ...), found "
            f"{tuple(inputs.shape)} and {tuple(targets.shape)}"
        )
    if not len(inputs):
        raise MtlError("there is no example")
    if len(targets) != len(inputs):
        raise MtlError(f"{len(inputs)} inputs but {len(targets)} targets")
    if examples.transform is not None and (inputs.dtype != torch.uint8 or inputs.ndim != 4):
        raise MtlError(
            f"transforms need uint8 images (N, C, H, W), found {inputs.dtype} of shape "
            f"{tuple(inputs.shape)}"
        )
    if examples.names is not None and len(examples.names) != len(inputs):
        raise MtlError(f"{len(inputs)} inputs but {len(examples.names)} names")
    streams = examples.streams
    if streams is not None and (streams < 1 or len(inputs) % streams):
        raise MtlError(
            f"streams should be at least 1 and divide the number of examples ({len(inputs)}), "
            f"found {streams}"
        )
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        wrong = ~torch.isfinite(inputs).flatten(1).all(1)
        if bool(wrong.any()):
            raise MtlError(f"the input of example {first_row(wrong)} is not finite")


def _check_labels(examples: Examples) -> None:
    labelled = examples.labelled
    if labelled is None:
        return
    if labelled.dtype != torch.bool or labelled.shape != (len(examples),):
        raise MtlError(
            f"labelled should be bool of shape ({len(examples)},), found {labelled.dtype} of "
            f"shape {tuple(labelled.shape)}"
        )
    if examples.streams is not None:
        raise MtlError("examples of streams cannot lack labels: leave out labelled, or streams")
    if not bool(labelled.any()):
        raise MtlError("no example has a label")


class Suite:
    """A named set of tasks that are trained together.

    Args:
        name: how the suite is called on the command line.
        tasks: at least one; names unique. Unless some name backbones of their own, their inputs
            have one shape and dtype, so that they can be batched.
        common_input: True where all tasks read the same inputs (attributes of one image). The
            tasks then have the same splits, and these hold the same input tensor, row for row.
        notes: what the user should know of the data, one line each; a run prints them.
        record: what the data was found to be, as plain values: names of the examples of splits that
            were made here, what was left out. A run keeps it in ``data.json`` and goes on with the
            same data only.

    Attributes:
        input_shape: shape of one input of the first task.
        input_shapes: shape of one input of every task.
        common_backbone: False where a task names a backbone of its own.

    Raises:
        MtlError: naming the tasks that do not go together.
    """

    def __init__(
        self,
        name: str,
        tasks: Sequence[Task],
        common_input: bool = False,
        notes: Sequence[str] = (),
        record: Mapping[str, Any] | None = None,
    ) -> None:
        if not tasks:
            raise MtlError(f"suite {name!r} has no task")
        names = [task.name for task in tasks]
        for task_name in names:
            if names.count(task_name) > 1:
                raise MtlError(f"suite {name!r}: task name {task_name!r} occurs twice")
        self.name = name
        self.tasks = tuple(tasks)
        self.common_input = common_input
        self.notes = tuple(notes)
        self.record = dict(record or {})
        self.common_backbone = all(task.backbone is None for task in tasks)
        self.input_shapes = tuple(task.train.input_shape for task in tasks)
        self.input_shape = self.input_shapes[0]
        first = tasks[0]
        for task in tasks:
            self._check_inputs(first if self.common_backbone else task, task)
            if common_input:
                self._check_common_input(name, first, task)

    def _check_inputs(self, first: Task, task: Task) -> None:
        shape, dtype = first.train.input_shape, first.train.inputs.dtype
        for split, examples in task.splits().items():
            if examples.input_shape != shape:
                raise MtlError(
                    f"suite {self.name!r}: inputs of task {task.name!r} ({split}) have shape "
                    f"{examples.input_shape}, those of task {first.name!r} {shape}; what one "
                    "backbone reads needs one shape: resize them alike"
                )
            if examples.inputs.dtype != dtype:
                raise MtlError(
                    f"suite {self.name!r}: inputs of task {task.name!r} ({split}) are "
                    f"{examples.inputs.dtype}, those of task {first.name!r} {dtype}; what one "
                    "backbone reads needs one dtype"
                )

    @staticmethod
    def _check_common_input(name: str, first: Task, task: Task) -> None:
        ours, theirs = task.splits(), first.splits()
        for split in SPLITS:
            if (split in ours) != (split in theirs):
                has, lacks = (task, first) if split in ours else (first, task)
                raise MtlError(
                    f"suite {name!r} has a common input, but task {has.name!r} has a {split} split "
                    f"and task {lacks.name!r} has none"
                )
            if split not in ours:
                continue
            if ours[split].inputs is not theirs[split].inputs:
                raise MtlError(
                    f"suite {name!r} has a common input, but task {task.name!r} ({split}) "
                    f"does not hold the input tensor of task {first.name!r}"
                )
            if ours[split].transform is not theirs[split].transform:
                raise MtlError(
                    f"suite {name!r} has a common input, but task {task.name!r} ({split}) does "
                    f"not hold the transform of task {first.name!r}"
                )
            if ours[split].streams != theirs[split].streams:
                raise MtlError(
                    f"suite {name!r} has a common input, but task {task.name!r} ({split}) has "
                    f"streams {ours[split].streams} and task {first.name!r} {theirs[split].streams}"
                )

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return tuple(task.name for task in self.tasks)

    @property
    def in_chans(self) -> int:
        """Channels of the first task's images; of other inputs the first dimension."""
        return self.input_shape[0]

    def index(self, task: int | str) -> int:
        """Position of a task given by name or position.

        Raises:
            UnknownNameError: if no task has that name.
        """
        if isinstance(task, int):
            if not 0 <= task < len(self):
                raise MtlError(f"task index {task} is outside 0..{len(self) - 1}")
            return task
        if task not in self.task_names:
            raise UnknownNameError("task", task, self.task_names)
        return self.task_names.index(task)
