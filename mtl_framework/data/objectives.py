"""Objectives: what a task is trained with and judged by."""

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from ..support.errors import MtlError


class Objective(ABC):
    """A loss to train with and a metric to report, both defined example by example.

    ``metric`` names the reported number; lower is better. ``num_outputs`` is the width of the
    task's head: its outputs have shape (rows, ..., num_outputs).
    """

    metric: str
    num_outputs: int

    @abstractmethod
    def losses(
        self, outputs: Float[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Differentiable loss of every row."""

    @abstractmethod
    def scores(
        self, outputs: Float[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Every row's contribution to the metric; their mean goes into :meth:`summarize`."""

    def summarize(self, mean_score: float) -> float:
        """The metric of a set of rows whose mean score is given."""
        return mean_score

    def decode(self, outputs: Float[Tensor, "rows *outputs"]) -> Float[Tensor, "rows *outputs"]:
        """Outputs as predictions give them, in the units of the targets; here they are as they are.

        Predictions and exported networks apply this; :meth:`losses` and :meth:`scores` are given
        outputs as the networks have them.
        """
        return outputs

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
            row = first_row((targets < 0) | (targets >= self.num_classes))
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
            row = first_row(wrong)
            raise MtlError(
                f"binary target {targets[row].item()} of example {row} is neither 0 nor 1"
            )


@dataclass(frozen=True)
class Regression(Objective):
    """Mean squared error over ``num_targets`` numbers; the metric is the root of its mean.

    With ``means`` and ``deviations``, one a number, networks learn standardised targets: the loss
    is that of (target - mean) / deviation. The metric, predictions and exported networks are in the
    units of the targets all the same. :meth:`standardized` takes both from training targets.

    Raises:
        MtlError: on another number of means or deviations, or a deviation that is not positive.
    """

    num_targets: int = 1
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    metric: str = field(default="RMSE", init=False)

    def __post_init__(self) -> None:
        if self.num_targets < 1:
            raise MtlError(f"num_targets should be at least 1, found {self.num_targets}")
        if self.means or self.deviations:
            for name in ("means", "deviations"):
                count = len(getattr(self, name))
                if count != self.num_targets:
                    raise MtlError(f"{name} should be {self.num_targets} numbers, found {count}")
            if not all(deviation > 0 for deviation in self.deviations):
                raise MtlError(f"deviations should be above 0, found {min(self.deviations)}")

    @classmethod
    def standardized(cls, targets: Shaped[Tensor, "rows *dims"]) -> "Regression":
        """With the means and deviations of training targets; a constant number has deviation 1."""
        rows = targets.reshape(len(targets), -1).double()
        deviations = rows.std(0, correction=0)
        deviations = torch.where(deviations > 1e-12 * rows.abs().amax(0), deviations, 1.0)
        return cls(rows.shape[1], tuple(rows.mean(0).tolist()), tuple(deviations.tolist()))

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """One output a number."""
        return self.num_targets

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Squared error of every row, averaged over its numbers; of standardised targets, if so."""
        wanted = targets.reshape(outputs.shape)
        if self.means:
            mean, deviation = self._scale(wanted)
            wanted = (wanted - mean) / deviation
        return (outputs - wanted.to(outputs.dtype)).square().mean(1)

    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Squared errors in the units of the targets; :meth:`summarize` takes their root mean."""
        errors = self.losses if not self.means else self._decoded_errors
        return errors(outputs.float(), targets)

    def decode(self, outputs: Float[Tensor, "rows *outputs"]) -> Float[Tensor, "rows *outputs"]:
        """Outputs in the units of the targets."""
        if not self.means:
            return outputs
        mean, deviation = self._scale(outputs)
        return outputs * deviation + mean

    def summarize(self, mean_score: float) -> float:
        """Root of the mean squared error."""
        return float(mean_score**0.5)

    def _decoded_errors(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        wanted = targets.reshape(outputs.shape).to(outputs.dtype)
        return (self.decode(outputs) - wanted).square().mean(1)

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        dtype = like.dtype if like.is_floating_point() else torch.float32
        mean, deviation = (
            torch.tensor(numbers, dtype=dtype, device=like.device)
            for numbers in (self.means, self.deviations)
        )
        return mean, deviation

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
            raise MtlError(f"the regression target of example {first_row(wrong)} is not finite")


@dataclass(frozen=True)
class LanguageModel(Objective):
    """Cross-entropy of the next word at every position; the metric is the perplexity.

    Outputs have shape (rows, positions, ``vocabulary_size``), targets (rows, positions), int64. A
    row's loss is its mean over positions, in nats; the perplexity is exp of the mean over rows.
    """

    vocabulary_size: int
    metric: str = field(default="perplexity", init=False)

    def __post_init__(self) -> None:
        if self.vocabulary_size < 2:
            raise MtlError(f"vocabulary_size should be at least 2, found {self.vocabulary_size}")

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """One logit a word."""
        return self.vocabulary_size

    def losses(
        self,
        outputs: Float[Tensor, "rows positions words"],
        targets: Shaped[Tensor, "rows positions"],
    ) -> Float[Tensor, " rows"]:
        """Cross-entropy of every row, averaged over its positions, in nats."""
        each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none")
        return each.view(targets.shape).mean(1)

    def scores(
        self,
        outputs: Float[Tensor, "rows positions words"],
        targets: Shaped[Tensor, "rows positions"],
    ) -> Float[Tensor, " rows"]:
        """The same cross-entropies; :meth:`summarize` makes a perplexity of their mean."""
        return self.losses(outputs.float(), targets)

    def summarize(self, mean_score: float) -> float:
        """Perplexity: exp of the mean cross-entropy; infinite beyond what a float holds."""
        return math.exp(mean_score) if mean_score < _MOST_NATS else math.inf

    def check(self, targets: Tensor) -> None:
        """Words are whole numbers from 0 to ``vocabulary_size - 1``, (N, positions)."""
        if targets.dtype != torch.int64 or targets.ndim != 2 or not targets.shape[1]:
            raise MtlError(
                f"words should be int64 of shape (N, positions), found {targets.dtype} "
                f"of shape {tuple(targets.shape)}"
            )
        wrong = (targets < 0) | (targets >= self.vocabulary_size)
        if bool(wrong.any()):
            row = first_row(wrong.any(1))
            word = targets[row][wrong[row]][0].item()
            raise MtlError(f"word {word} of example {row} is outside 0..{self.vocabulary_size - 1}")


_MOST_NATS = math.log(sys.float_info.max)


def first_row(marked: Bool[Tensor, " rows"]) -> int:
    """The first marked row."""
    return int(marked.nonzero()[0])
