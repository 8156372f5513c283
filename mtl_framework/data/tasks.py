"""Tasks and suites: the data, losses and metrics of what is trained together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..support.errors import MtlError, UnknownNameError
from ..support.names import can_be_shown
from .common_inputs import check_common_input, check_common_inputs
from .examples import SPLITS, Examples, check_labels, check_rows
from .given import GivenSuite, named_type, suite_from_arrays
from .given_datasets import suite_from_datasets
from .given_frame import suite_from_frame
from .given_inputs import Channels, Reading
from .head_choice import HeadChoice
from .images import ImageNormalization
from .map_checks import check_maps
from .metrics.choice import chosen_main, chosen_metrics
from .metrics.metric import Metric
from .mixing import Mixing
from .objectives import Binary, Classification, LanguageModel, Objective, Regression
from .pictures import DEFAULT, PictureOptions
from .transforms import ImageTransform

__all__ = [
    "SPLITS", "Binary", "Classification", "Examples", "LanguageModel", "Objective", "Regression",
    "Suite", "Task",
]  # fmt: skip


@dataclass(frozen=True, repr=False)
class Task:
    """One task: its data, its objective, and what else a suite says of it.

    Args:
        name: name of the task, unique within its suite.
        objective: the loss and the metrics of the task.
        train: examples to train on.
        test: examples for the final results; nothing is ever chosen by them.
        validation: examples by which networks are chosen; ``None`` if there are none.
        batch_size: number of training examples of this task in a batch; ``None`` takes the run's
            batch size, or one window of every stream if the examples are streams.
        backbone: a network of the task's own: keys of a run's ``backbone`` section with at least
            ``name``, e.g. ``{"name": "lenet"}``; ``None``: the task uses the run's backbone.
        normalization: mean and std for uint8 images; ``None``: those of the backbone.
        image_transform: is applied to image files before a prediction, else only resized.
        pictures: how images in files were read, so that a prediction reads them alike.
        main: name of the metric by which networks are chosen and compared; ``None``: the
            objective's own.
        reported: names of further metrics; ``None``: all that the objective has, but for the areas
            under curves of each class where there are more than 200 classes.
        mixing: mixup and cutmix of training batches; ``None``: neither. Tasks with a common input
            need the same.
        head: the decoder of a task whose outputs are maps; ``None``: the framework's default.
        head_of: name of an earlier task whose head this one uses, too; ``None``: it has its own.

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
    head: HeadChoice | None = None
    head_of: str | None = None

    def __post_init__(self) -> None:
        if not can_be_shown(self.name):
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
                check_rows(examples)
                check_labels(examples)
                self.objective.check(examples.targets)
                check_maps(examples, self.objective, split)
            except MtlError as error:
                raise MtlError(f"{where}: {error}") from None

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(rows)} {split}" for split, rows in self.splits().items())
        return f"<Task {self.name}: {type(self.objective).__name__}, {counts} examples>"

    @property
    def main_metric(self) -> Metric | None:
        """Return the metric by which networks are chosen; ``None`` is the mean of the scores.

        Raises:
            UnknownNameError: if the objective has no such metric.
        """
        return chosen_main(self.name, self.objective, self.main)

    @property
    def metric(self) -> str:
        """Return the label of the main metric, with its unit."""
        chosen = self.main_metric
        return self.objective.metric if chosen is None else chosen.label

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Return all metrics that are reported, the main one among them.

        Raises:
            UnknownNameError: if the objective has no such metric.
        """
        return chosen_metrics(self.name, self.objective, self.main, self.reported)

    def splits(self) -> dict[str, Examples]:
        """Return the splits that the task has, by name."""
        by_name = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: examples for name, examples in by_name.items() if examples is not None}


class Suite:
    """A named set of tasks that are trained together.

    Args:
        name: name of the suite on the command line.
        tasks: at least one task; their names are unique. Unless some have backbones of their own,
            their inputs need one shape and dtype.
        common_input: True where all tasks read the same inputs (attributes of one image). The
            tasks then have the same splits, and these hold the same input tensor, row for row.
        notes: what a user should know of the data, one line each; a run prints them.
        record: facts of the data as plain values, e.g. names of the examples of random splits. A
            run keeps it in ``data.json`` and resumes with the same data only.

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
        for task_name, count in Counter(task.name for task in tasks).items():
            if count > 1:
                raise MtlError(f"suite {name!r}: task name {task_name!r} occurs twice")
        self.name = name
        self.tasks = tuple(tasks)
        self.common_input = common_input
        self.notes = tuple(notes)
        self.record = dict(record or {})
        self.common_backbone = all(task.backbone is None for task in tasks)
        self.input_shapes = tuple(task.train.input_shape for task in tasks)
        self.input_shape = self.input_shapes[0]
        for task in tasks:
            like, splits = tasks[0] if self.common_backbone else task, task.splits()
            check_common_inputs(name, like.name, like.train, task.name, splits)
            if common_input:
                check_common_input(name, tasks[0].name, tasks[0].splits(), task.name, splits)

    def __repr__(self) -> str:
        return f"<Suite {self.name}: {', '.join(self.task_names[:8])}{', ...' * (len(self) > 8)}>"

    @classmethod
    def from_datasets(
        cls,
        tasks: Mapping[str, Sequence[Any]],
        name: str = "datasets",
        kinds: Mapping[str, Any] | None = None,
        pictures: PictureOptions = DEFAULT,
        channels: Channels = "auto",
    ) -> "Suite":
        """Make a suite of torch data sets, whose items are pairs of input and label.

        Inputs are Pillow images of any mode, which are read as image files are, or arrays or
        tensors of one shape, which are read as those of :meth:`from_arrays`. Every item is read
        once here; random transforms are refused, as they belong into the option ``augmentation``.

        Args:
            tasks: for each task's name ``(train, validation, test)``, or ``(train, test)``.
            name: name of the suite.
            kinds: for a task's name the kind of its labels: ``classes``, ``binary`` or ``numbers``;
                default: numbers where they are floats or several a row, or integers of which most
                are different, else classes. A data set's attribute ``classes`` names the classes.
                Numbers are learned standardised.
            pictures: how transparency, ranges of values and animations of Pillow images are
                handled; the range of values holds for arrays, too.
            channels: as in :meth:`from_arrays`; where both ends of an item may be channels,
                ``auto`` takes the first, as torch's data sets have them.

        Raises:
            MtlError: naming task, split and item, what was found and what is allowed.
        """
        return cls._of(
            name, suite_from_datasets(tasks, kinds or {}, Reading(channels, pictures, first=True))
        )

    @classmethod
    def from_arrays(
        cls,
        tasks: Mapping[str, Sequence[Any]],
        name: str = "arrays",
        kinds: Mapping[str, Any] | None = None,
        channels: Channels = "auto",
        value_range: tuple[float, float] | None = None,
    ) -> "Suite":
        """Make a suite of numpy arrays or tensors, whose inputs are images or features.

        Inputs (N, features) are features: floats and uint8 become float32, other whole numbers
        int64, as tokens are. Inputs (N, H, W), (N, H, W, C) and (N, C, H, W) are images with 1, 3
        or 4 channels: uint8 from 0 to 255; bool and uint16 are scaled to them, the latter from 0 to
        65535; floats keep their values; other whole numbers need ``value_range``. A note in
        ``notes`` says what is a guess: grey images, channels at both ends, floats beyond 0 to 1.

        Tasks whose splits hold the same input objects have a common input. Labels ``None``,
        ``nan`` and those in ``mtl_framework.data.MISSING_MARKERS`` are missing, which a note says.

        Args:
            tasks: for each task's name ``(train, validation, test)``, or ``(train, test)``, each a
                pair of inputs (N, ...) and labels (N,) or (N, numbers).
            name: name of the suite.
            kinds: as in :meth:`from_datasets`.
            channels: where images have their channels: ``first``, ``last``, or ``auto``, which
                takes the axis that has 1, 3 or 4 entries; ``None``: inputs are features of any
                shape, e.g. sequences (N, T, F).
            value_range: the two numbers that become black and white in images; they become uint8.

        Raises:
            MtlError: naming task and split, what was found and what is allowed.
        """
        reading = Reading.of(channels, value_range)
        return cls._of(name, suite_from_arrays(tasks, kinds or {}, reading))

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        tasks: Sequence[str],
        inputs: Any,
        split: str | None = None,
        name: str = "frame",
        kinds: Mapping[str, Any] | None = None,
        seed: int = 0,
        channels: Channels = "auto",
        value_range: tuple[float, float] | None = None,
    ) -> "Suite":
        """Make a suite of a pandas data frame, a column a task; missing values are missing labels.

        Args:
            frame: the pandas data frame, N rows.
            tasks: names of the columns with labels.
            inputs: names of the columns with features, or one name; or an array (N, ...) with the
                inputs of all rows.
            split: name of the column that holds ``train``, ``validation`` or ``test``, or usual
                other names of them; default: a fifth of the rows each for validation and test,
                drawn as the suite ``table`` draws them: stratified over all tasks.
            name: name of the suite.
            kinds: as in :meth:`from_datasets`.
            seed: decides the random splits.
            channels: of an array ``inputs``, as in :meth:`from_arrays`.
            value_range: of an array ``inputs``, as in :meth:`from_arrays`.

        Raises:
            MtlError: naming the column, what was found and what is allowed.
        """
        reading = Reading.of(channels, value_range)
        given = suite_from_frame(frame, tasks, inputs, split, kinds or {}, seed, reading)
        return cls._of(name, given)

    @classmethod
    def _of(cls, name: str, given: GivenSuite) -> "Suite":
        tasks = []
        for t in given.tasks:
            splits = (t.splits["train"], t.splits["test"], t.splits.get("validation"))
            tasks.append(Task(t.name, t.objective, *splits, pictures=t.pictures))
        return cls(name, tasks, given.common_input, given.notes)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Return the names of the tasks, in order."""
        return tuple(task.name for task in self.tasks)

    @property
    def in_chans(self) -> int:
        """Return the channels of the first task's images; of other inputs the first dimension."""
        return self.input_shape[0]

    def index(self, task: int | str) -> int:
        """Return the position of a task given by name or position.

        Raises:
            MtlError: if no task has that name, or none is at that position.
        """
        if isinstance(task, int | np.integer) and not isinstance(task, bool):
            if not 0 <= task < len(self):
                raise MtlError(f"task index {task} is outside 0..{len(self) - 1}")
            return int(task)
        if not isinstance(task, str):
            raise MtlError(f"a task is given by name or position, found {named_type(task)}")
        if task not in self.task_names:
            raise UnknownNameError("task", task, self.task_names)
        return self.task_names.index(task)
