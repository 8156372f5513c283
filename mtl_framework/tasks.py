"""Tasks: data, loss and metric of everything that is trained together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from .errors import MtlError, UnknownNameError

SPLITS = ("train", "validation", "test")


class Objective(ABC):
    """A loss to train with and a metric to report, both defined example by example.

    ``metric`` names the reported number; lower is better. ``num_outputs`` is the width of the
    task's head.
    """

    metric: str
    num_outputs: int

    @abstractmethod
    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Differentiable loss of every row."""

    @abstractmethod
    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Every row's contribution to the metric; their mean goes into :meth:`summarize`."""

    def summarize(self, mean_score: float) -> float:
        """The metric of a set of rows whose mean score is given."""
        return mean_score

    @abstractmethod
    def check(self, targets: Tensor) -> None:
        """Refuse targets that the loss cannot take.

        Raises:
            MtlError: naming the values found and those allowed.
        """


@dataclass(frozen=True)
class Classification(Objective):
    """Cross-entropy over ``num_classes`` classes; the metric is the error in percent.

    ``class_names`` are what predictions are called, one a class, all different; where there are
    none, numbers are.
    """

    num_classes: int
    class_names: tuple[str, ...] = ()
    metric: str = field(default="error %", init=False)

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise MtlError(f"num_classes should be at least 2, found {self.num_classes}")
        names = self.class_names
        if names and (len(names) != self.num_classes or len(set(names)) != len(names)):
            raise MtlError(
                f"class_names should be {self.num_classes} different names, found {len(names)}"
                f"{', some alike' if len(set(names)) != len(names) else ''}"
            )

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """One logit a class."""
        return self.num_classes

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Cross-entropy of every row, in nats."""
        return F.cross_entropy(outputs, targets, reduction="none")

    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """100 where the most probable class is wrong, else 0."""
        return (outputs.argmax(1) != targets).to(torch.float32) * 100

    def check(self, targets: Tensor) -> None:
        """Labels are whole numbers from 0 to ``num_classes - 1``, one a row."""
        if targets.dtype != torch.int64 or targets.ndim != 1:
            raise MtlError(
                f"class labels should be int64 of shape (N,), found {targets.dtype} "
                f"of shape {tuple(targets.shape)}"
            )
        if len(targets) and (targets.min() < 0 or targets.max() >= self.num_classes):
            row = _first((targets < 0) | (targets >= self.num_classes))
            raise MtlError(
                f"label {targets[row].item()} of example {row} is outside 0..{self.num_classes - 1}"
            )


@dataclass(frozen=True)
class Binary(Objective):
    """Binary cross-entropy on one logit; targets 0 or 1; the metric is the error in percent."""

    metric: str = field(default="error %", init=False)
    num_outputs: int = field(default=1, init=False)

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Binary cross-entropy of every row, in nats."""
        return F.binary_cross_entropy_with_logits(
            outputs[:, 0], targets.to(outputs.dtype), reduction="none"
        )

    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """100 where the sign of the logit is wrong, else 0."""
        return ((outputs[:, 0] > 0) != (targets > 0.5)).to(torch.float32) * 100

    def check(self, targets: Tensor) -> None:
        """Targets are 0 or 1, one a row."""
        if targets.ndim != 1:
            raise MtlError(f"binary targets should have shape (N,), found {tuple(targets.shape)}")
        wrong = (targets != 0) & (targets != 1)
        if bool(wrong.any()):
            row = _first(wrong)
            raise MtlError(
                f"binary target {targets[row].item()} of example {row} is neither 0 nor 1"
            )


@dataclass(frozen=True)
class Regression(Objective):
    """Mean squared error over ``num_targets`` numbers; the metric is the root of its mean."""

    num_targets: int = 1
    metric: str = field(default="RMSE", init=False)

    def __post_init__(self) -> None:
        if self.num_targets < 1:
            raise MtlError(f"num_targets should be at least 1, found {self.num_targets}")

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """One output a number."""
        return self.num_targets

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Squared error of every row, averaged over its numbers."""
        return (outputs - targets.reshape(outputs.shape).to(outputs.dtype)).square().mean(1)

    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """The same squared errors; :meth:`summarize` takes the root of their mean."""
        return self.losses(outputs.float(), targets)

    def summarize(self, mean_score: float) -> float:
        """Root of the mean squared error."""
        return float(mean_score**0.5)

    def check(self, targets: Tensor) -> None:
        """Targets are finite numbers of shape (N,) or (N, ``num_targets``)."""
        shapes: list[tuple[int, ...]] = [(len(targets), self.num_targets)]
        if self.num_targets == 1:
            shapes.append((len(targets),))
        if tuple(targets.shape) not in shapes:
            raise MtlError(
                f"regression targets should have shape {' or '.join(map(str, shapes))}, "
                f"found {tuple(targets.shape)}"
            )
        wrong = ~torch.isfinite(targets.reshape(len(targets), -1)).all(1)
        if bool(wrong.any()):
            raise MtlError(f"the regression target of example {_first(wrong)} is not finite")


@dataclass(frozen=True)
class Examples:
    """Inputs and targets of one split, row by row.

    ``inputs`` has shape (N, ...); images are (N, C, H, W), as uint8 in 0..255 or as floats.
    ``targets`` has shape (N,) or (N, numbers), as the objective wants it.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Task:
    """One task of a suite.

    Args:
        name: unique within the suite.
        objective: loss and metric.
        train: examples to train on.
        test: examples for the final figures; nothing is ever chosen by them.
        validation: examples to choose by, where there are any.
        batch_size: training examples of this task in a batch; ``None``: the run's.

    Raises:
        MtlError: naming the task and the split, on an empty split, inputs without a dimension
            beside the examples or with a number that is not finite, unequal lengths, labels out of
            range; on a name that is empty or not printable.
    """

    name: str
    objective: Objective
    train: Examples
    test: Examples
    validation: Examples | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable():
            raise MtlError(f"a task's name should be printable text, found {self.name!r}")
        if self.batch_size is not None and self.batch_size < 1:
            raise MtlError(
                f"task {self.name!r}: batch_size should be at least 1, found {self.batch_size}"
            )
        for split, examples in self.splits().items():
            where = f"task {self.name!r}, {split} split"
            try:
                _check_rows(examples)
                self.objective.check(examples.targets)
            except MtlError as error:
                raise MtlError(f"{where}: {error}") from None

    def splits(self) -> dict[str, Examples]:
        """The splits that exist, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: examples for name, examples in found.items() if examples is not None}


def _check_rows(examples: Examples) -> None:
    inputs, targets = examples.inputs, examples.targets
    if inputs.ndim < 2 or targets.ndim < 1:
        raise MtlError(
            "inputs should have shape (N, ...) and targets (N,) or (N, numbers), found "
            f"{tuple(inputs.shape)} and {tuple(targets.shape)}"
        )
    if not len(inputs):
        raise MtlError("there is no example")
    if len(targets) != len(inputs):
        raise MtlError(f"{len(inputs)} inputs but {len(targets)} targets")
    if inputs.is_floating_point():
        wrong = ~torch.isfinite(inputs).flatten(1).all(1)
        if bool(wrong.any()):
            raise MtlError(f"the input of example {_first(wrong)} is not finite")


def _first(marked: Bool[Tensor, " rows"]) -> int:
    """The first marked row."""
    return int(marked.nonzero()[0])


class Suite:
    """A named set of tasks that are trained together.

    Args:
        name: how the suite is called on the command line.
        tasks: at least one; names unique; inputs of one shape and dtype, so that they can be
            batched.
        common_input: True where all tasks read the same inputs (attributes of one image). The
            tasks then have the same splits, and these hold the same input tensor, row for row.

    Raises:
        MtlError: naming the tasks that do not go together.
    """

    def __init__(self, name: str, tasks: Sequence[Task], common_input: bool = False) -> None:
        if not tasks:
            raise MtlError(f"suite {name!r} has no task")
        names = [task.name for task in tasks]
        for task_name in names:
            if names.count(task_name) > 1:
                raise MtlError(f"suite {name!r}: task name {task_name!r} occurs twice")
        first = tasks[0]
        shape, dtype = tuple(first.train.inputs.shape[1:]), first.train.inputs.dtype
        for task in tasks:
            for split, examples in task.splits().items():
                found = tuple(examples.inputs.shape[1:])
                if found != shape:
                    raise MtlError(
                        f"suite {name!r}: inputs of task {task.name!r} ({split}) have shape "
                        f"{found}, those of task {first.name!r} {shape}; tasks of one suite are "
                        "batched together and need one shape: resize them alike"
                    )
                if examples.inputs.dtype != dtype:
                    raise MtlError(
                        f"suite {name!r}: inputs of task {task.name!r} ({split}) are "
                        f"{examples.inputs.dtype}, those of task {first.name!r} {dtype}; tasks of "
                        "one suite are batched together and need one dtype"
                    )
            if common_input:
                self._check_common_input(name, first, task)
        self.name = name
        self.tasks = tuple(tasks)
        self.common_input = common_input
        self.input_shape: tuple[int, ...] = shape

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
            if split in ours and ours[split].inputs is not theirs[split].inputs:
                raise MtlError(
                    f"suite {name!r} has a common input, but task {task.name!r} ({split}) "
                    f"does not hold the input tensor of task {first.name!r}"
                )

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return tuple(task.name for task in self.tasks)

    @property
    def in_chans(self) -> int:
        """Channels of the input images; for other inputs the size of their first dimension."""
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
