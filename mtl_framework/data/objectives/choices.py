"""Objectives by name, as the section ``objectives`` of a run's config chooses them.

Each function takes a task as its suite made it and returns the task's new objective; its
keyword arguments are the options. A plugin adds its own by the hook ``mtl_objectives``.
"""

from dataclasses import replace
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from ...support.errors import MtlError
from ..tasks import Task
from .binary import Binary
from .classification import Classification
from .language import LanguageModel
from .maps.base import LossOfNumbers
from .maps.binary_map import BinaryMap
from .maps.depth import Depth, DepthLoss
from .maps.map_regression import MapRegression
from .maps.normals import NormalLoss, Normals
from .maps.segmentation import Segmentation
from .multi_label import MultiLabel
from .ordinal import Ordinal
from .regression import GaussianRegression, Loss, PoissonRegression, Regression

Kind = TypeVar("Kind", bound=Regression)
Share = Annotated[float, Field(ge=0, lt=1, description="share, at least 0 and below 1")]
Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def classification(
    task: Task,
    /,
    *,
    label_smoothing: Share = 0.0,
    class_weights: Literal["balanced"] | tuple[Factor, ...] | None = None,
    focal_gamma: Factor = 0.0,
) -> Classification:
    """Learn classes by cross-entropy.

    Args:
        task: a task of classes, which stay as they are.
        label_smoothing: share of every target that is spread over all classes.
        class_weights: factor of the loss of each class's rows; balanced: so that all classes of the
            training split weigh the same, rows / (classes * rows of the class).
        focal_gamma: power of 1 - p by which losses are multiplied, p the probability of the right
            class; 0: plain cross-entropy, 2: as in the paper on focal loss.
    """
    present = task.objective
    if isinstance(present, Classification):
        classes, names = present.num_classes, present.class_names
    elif isinstance(present, Binary):
        classes, names = 2, ()
    elif isinstance(present, Ordinal):
        classes, names = present.num_levels, present.level_names
    else:
        raise _unfit(task, "classification")
    weights = class_weights or ()
    if weights == "balanced":
        weights = balanced_weights(training_targets(task), classes)
    assert not isinstance(weights, str)
    return Classification(classes, names, label_smoothing, weights, focal_gamma)


def binary(
    task: Task,
    /,
    *,
    positive_weight: Literal["balanced"] | Factor = 1.0,
    focal_gamma: Factor = 0.0,
) -> Binary:
    """Learn 0 or 1 by binary cross-entropy on one logit.

    Args:
        task: a task whose labels are 0 and 1.
        positive_weight: factor of the loss of rows whose target is 1; balanced: rows of 0 divided
            by rows of 1 in the training split.
        focal_gamma: power of 1 - p by which losses are multiplied, p the probability of the right
            answer; 0: plain cross-entropy, 2: as in the paper on focal loss.
    """
    two = isinstance(task.objective, Classification) and task.objective.num_classes == 2
    if not (two or isinstance(task.objective, Binary)):
        raise _unfit(task, "binary")
    if positive_weight == "balanced":
        positive_weight = _positive_weight(training_targets(task))
    assert not isinstance(positive_weight, str)
    return Binary(positive_weight, focal_gamma)


def multi_label(
    task: Task,
    /,
    *,
    label_names: tuple[str, ...] = (),
    positive_weights: Literal["balanced"] | tuple[Factor, ...] | None = None,
    focal_gamma: Factor = 0.0,
) -> MultiLabel:
    """Learn several labels of 0 or 1 by binary cross-entropy, on one logit for each label.

    Args:
        task: a task whose targets are several numbers a row: 1, 0, or -1 where a label is unknown.
        label_names: names of the labels, one each; default: those of the suite.
        positive_weights: factor of the loss where a label is there, one each; balanced: known rows
            without it divided by those with it in the training split.
        focal_gamma: power of 1 - p by which losses are multiplied; 0: plain cross-entropy.
    """
    present = task.objective
    if isinstance(present, MultiLabel):
        labels, label_names = present.num_labels, label_names or present.label_names
    elif isinstance(present, Regression):
        labels = present.num_targets
    else:
        raise _unfit(task, "multi_label")
    weights = positive_weights or ()
    if weights == "balanced":
        columns = training_targets(task).reshape(-1, labels).T
        weights = tuple(_positive_weight(column[column >= 0]) for column in columns)
    assert not isinstance(weights, str)
    return MultiLabel(labels, label_names, weights, focal_gamma)


def regression(
    task: Task, /, *, loss: Loss = "mse", beta: Factor = 1.0, standardize: bool | None = None
) -> Regression:
    """Learn numbers by squared, absolute or smooth absolute error.

    Args:
        task: a task whose targets are numbers.
        loss: mse: squared error; l1: absolute error; smooth_l1: squared below beta, absolute above.
        beta: error at which smooth_l1 changes from squared to absolute, in the units of what is
            learned (standardised targets, where they are standardised).
        standardize: learn (target - mean) / deviation of the training split, and undo it in
            predictions and metrics; default: as the suite has it.
    """
    return _numbers(task, Regression, loss, beta, standardize)


def poisson(task: Task, /) -> PoissonRegression:
    """Learn counts by their Poisson likelihood; outputs are logarithms of expected counts.

    Args:
        task: a task whose targets are numbers of at least 0; if the suite standardises them, that
            is undone.
    """
    present = task.objective
    if not isinstance(present, Regression):
        raise _unfit(task, "poisson")
    return PoissonRegression(present.num_targets, target_names=present.target_names)


def gaussian(task: Task, /, *, standardize: bool | None = None) -> GaussianRegression:
    """Learn numbers and their variances by Gaussian likelihood.

    Args:
        task: a task whose targets are numbers.
        standardize: learn (target - mean) / deviation of the training split, and undo it in
            predictions and metrics; default: as the suite has it.
    """
    return _numbers(task, GaussianRegression, "mse", 1.0, standardize)


def ordinal(task: Task, /) -> Ordinal:
    """Learn ordered levels by one threshold between each two neighbours.

    Args:
        task: a task whose classes are the levels, the lowest first.
    """
    present = task.objective
    if isinstance(present, Ordinal):
        return present
    if not isinstance(present, Classification):
        raise _unfit(task, "ordinal")
    return Ordinal(present.num_classes, present.class_names)


def language_model(task: Task, /) -> LanguageModel:
    """Learn the next word by cross-entropy.

    Args:
        task: a task whose targets are words.
    """
    if not isinstance(task.objective, LanguageModel):
        raise _unfit(task, "language_model")
    return task.objective


def segmentation(
    task: Task, /, *, class_weights: Literal["balanced"] | tuple[Factor, ...] | None = None
) -> Segmentation:
    """Learn maps of classes by cross-entropy at every pixel.

    Args:
        task: a task whose targets are maps of classes, which stay as they are.
        class_weights: factor of the loss of each class's pixels; balanced: pixels / (classes *
            pixels of the class) in the training split.
    """
    present = task.objective
    if not isinstance(present, Segmentation):
        raise _unfit(task, "segmentation")
    weights = class_weights or ()
    if weights == "balanced":
        targets = training_targets(task)
        known = targets[present.known(targets)].long()
        weights = balanced_weights(known, present.num_classes)
    assert not isinstance(weights, str)
    return replace(present, class_weights=weights)


def depth(task: Task, /, *, loss: DepthLoss = "l1") -> Depth:
    """Learn maps of distances by errors at every pixel.

    Args:
        task: a task whose targets are maps of distances.
        loss: l1: absolute error; berhu: absolute where small, squared above; inverse: the network
            gives 1 / depth, whose absolute error is the loss.
    """
    if not isinstance(task.objective, Depth):
        raise _unfit(task, "depth")
    return Depth(loss)


def normals(task: Task, /, *, loss: NormalLoss = "cosine") -> Normals:
    """Learn maps of directions by angles at every pixel.

    Args:
        task: a task whose targets are maps of directions.
        loss: cosine: 1 - cosine of the angle; l1: absolute differences of the unit vectors.
    """
    if not isinstance(task.objective, Normals):
        raise _unfit(task, "normals")
    return Normals(loss)


def binary_map(task: Task, /, *, positive_weight: Literal["balanced"] | Factor = 1.0) -> BinaryMap:
    """Learn maps of 0 and 1, e.g. edges or saliency, by binary cross-entropy at every pixel.

    Args:
        task: a task whose targets are maps of 0 and 1.
        positive_weight: factor of the loss of pixels whose target is 1; balanced: pixels of 0
            divided by pixels of 1 in the training split.
    """
    present = task.objective
    if not isinstance(present, BinaryMap):
        raise _unfit(task, "binary_map")
    if positive_weight == "balanced":
        targets = training_targets(task)
        positive_weight = _positive_weight(targets[present.known(targets)])
    assert not isinstance(positive_weight, str)
    return replace(present, positive_weight=positive_weight)


def map_regression(task: Task, /, *, loss: LossOfNumbers = "mse") -> MapRegression:
    """Learn maps of numbers by errors at every pixel.

    Args:
        task: a task whose targets are maps of numbers.
        loss: mse: squared error; l1: absolute error; smooth_l1: squared below 1, absolute above.
    """
    if not isinstance(task.objective, MapRegression):
        raise _unfit(task, "map_regression")
    return replace(task.objective, loss=loss)


def training_targets(task: Task) -> Tensor:
    """Return the targets of a task's training examples that have a label."""
    examples = task.train
    return examples.targets if examples.labelled is None else examples.targets[examples.labelled]


def balanced_weights(targets: Tensor, classes: int) -> tuple[float, ...]:
    """Return rows / (classes * rows of the class), as scikit-learn does; 1 for absent classes."""
    rows = torch.bincount(targets, minlength=classes).tolist()
    return tuple(sum(rows) / (classes * count) if count else 1.0 for count in rows)


def _positive_weight(targets: Tensor) -> float:
    """Return rows of 0 divided by rows of 1; 1 where one of them does not occur."""
    ones = int((targets > 0.5).sum())
    return (len(targets) - ones) / ones if 0 < ones < len(targets) else 1.0


def _numbers(
    task: Task, kind: type[Kind], loss: Loss, beta: float, standardize: bool | None
) -> Kind:
    present = task.objective
    if not isinstance(present, Regression):
        raise _unfit(task, kind.kind)
    means, deviations = present.means, present.deviations
    if standardize is not None:
        scale = Regression.standardized(training_targets(task)) if standardize else Regression()
        means, deviations = scale.means, scale.deviations
    return kind(present.num_targets, means, deviations, loss, beta, present.target_names)


def _unfit(task: Task, name: str) -> MtlError:
    kind = task.objective.kind or type(task.objective).__name__
    return MtlError(f"objective {name!r} does not fit task {task.name!r}, whose kind is {kind}")
