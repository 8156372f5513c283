"""Regressions learn numbers by squared or absolute errors, or by likelihoods."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from ...support.errors import MtlError
from ..metrics.metric import Metric
from ..metrics.numbers import number_metrics
from .base import Objective, first_row

Loss = Literal["mse", "l1", "smooth_l1"]


@dataclass(frozen=True)
class Regression(Objective):
    """This objective is an error over ``num_targets`` numbers.

    The metric is the root of the mean squared error.

    With ``means`` and ``deviations``, one a number, networks learn standardised targets: the loss
    is that of (target - mean) / deviation. The metric, predictions and exported networks are in the
    units of the targets all the same. :meth:`standardized` takes both from training targets.

    Args:
        num_targets: how many numbers a row has, at least 1.
        means: means that are subtracted from the targets before the loss; empty: 0.
        deviations: standard deviations by which targets are then divided; empty: 1.
        loss: ``mse``: squared error; ``l1``: absolute error; ``smooth_l1``: half the square divided
            by ``beta`` below ``beta``, the absolute error minus ``beta / 2`` above (Girshick, ICCV
            2015, equation 3, for ``beta`` 1).
        beta: error at which ``smooth_l1`` changes from squared to absolute, in the units of what
            is learned; above 0.
        target_names: what the numbers are called, one each; empty: predictions count them.

    Raises:
        MtlError: on another number of means, deviations or names, names that are alike, or a
            deviation or ``beta`` that is not positive.
    """

    num_targets: int = 1
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    loss: Loss = "mse"
    beta: float = 1.0
    target_names: tuple[str, ...] = ()
    metric: str = field(default="RMSE", init=False)
    kind: ClassVar[str] = "regression"
    of_training: ClassVar[frozenset[str]] = frozenset({"means", "deviations", "loss", "beta"})

    def __post_init__(self) -> None:
        if self.num_targets < 1:
            raise MtlError(f"num_targets should be at least 1, found {self.num_targets}")
        if self.loss not in ("mse", "l1", "smooth_l1"):
            raise MtlError(f"loss should be mse, l1 or smooth_l1, found {self.loss!r}")
        if not 0 < self.beta < math.inf:
            raise MtlError(f"beta should be above 0, found {self.beta:g}")
        names = self.target_names
        if names and (len(names) != self.num_targets or len(set(names)) < len(names)):
            raise MtlError(
                f"target_names should be {self.num_targets} different names, found {list(names)}"
            )
        if self.means or self.deviations:
            for name in ("means", "deviations"):
                count = len(getattr(self, name))
                if count != self.num_targets:
                    raise MtlError(f"{name} should be {self.num_targets} numbers, found {count}")
            if not all(deviation > 0 for deviation in self.deviations):
                raise MtlError(f"deviations should be above 0, found {min(self.deviations)}")

    @classmethod
    def standardized(cls, targets: Shaped[Tensor, "rows *dims"]) -> "Regression":
        """Make a regression with the means and deviations of training targets.

        Args:
            targets: (rows,) or (rows, numbers). A number that is constant gets deviation 1.
        """
        rows = targets.reshape(len(targets), -1).double()
        deviations = rows.std(0, correction=0)
        deviations = torch.where(deviations > 1e-12 * rows.abs().amax(0), deviations, 1.0)
        return cls(rows.shape[1], tuple(rows.mean(0).tolist()), tuple(deviations.tolist()))

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """Return the number of numbers: a head has one output for each."""
        return self.num_targets

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return the error of every row, averaged over its numbers, standardised if targets are."""
        wanted = self._learned(targets, outputs)
        if self.loss == "mse":
            return (outputs - wanted).square().mean(1)
        if self.loss == "l1":
            return (outputs - wanted).abs().mean(1)
        return F.smooth_l1_loss(outputs, wanted, reduction="none", beta=self.beta).mean(1)

    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return the squared error of every row, in the squared units of the targets."""
        predictions = self.decode(outputs.float())
        wanted = targets.reshape(predictions.shape).to(predictions.dtype)
        return (predictions - wanted).square().mean(1)

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of numbers."""
        return number_metrics()

    def judged(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> tuple[Float[Tensor, "rows numbers"], Float[Tensor, "rows numbers"]]:
        """Return predicted and true numbers, in the units of the targets."""
        predictions = self.decode(outputs.double())
        return predictions, targets.reshape(predictions.shape).double()

    @property
    def decodes(self) -> bool:
        """Say whether predictions differ from outputs: they do if targets are standardised."""
        return bool(self.means)

    def decode(self, outputs: Float[Tensor, "rows *outputs"]) -> Float[Tensor, "rows *outputs"]:
        """Convert outputs to the units of the targets."""
        if not self.means:
            return outputs
        mean, deviation = self._scale(outputs)
        return outputs * deviation + mean

    def summarize(self, mean_score: float) -> float:
        """Return the root of the mean squared error."""
        return float(mean_score**0.5)

    def _learned(
        self, targets: Shaped[Tensor, "rows *dims"], like: Float[Tensor, "rows _"]
    ) -> Float[Tensor, "rows numbers"]:
        """Return targets (rows, ``num_targets``) as networks learn them, perhaps standardised."""
        wanted = targets.reshape(len(targets), self.num_targets)
        if self.means:
            mean, deviation = self._scale(wanted)
            wanted = (wanted - mean) / deviation
        return wanted.to(like.dtype)

    def describe(self, outputs: Float[Tensor, "rows outputs"]) -> list[dict[str, Any]]:
        """Return every row's numbers by name, in the units of the targets."""
        rows = super().describe(outputs)
        if not self.target_names:
            return rows
        return [dict(zip(self.target_names, row.values(), strict=True)) for row in rows]

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        dtype = like.dtype if like.is_floating_point() else torch.float32
        mean, deviation = (
            torch.tensor(numbers, dtype=dtype, device=like.device)
            for numbers in (self.means, self.deviations)
        )
        return mean, deviation

    def check(self, targets: Tensor) -> None:
        """Raise an error unless targets are finite, of shape (N,) or (N, ``num_targets``)."""
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
class PoissonRegression(Regression):
    """Regression of counts by a Poisson likelihood; outputs are logarithms of expected counts.

    A row's loss is the mean over its numbers of exp(output) - target * output: the negative
    logarithm of the probability, but for what does not depend on the output (Cameron and Trivedi,
    "Regression Analysis of Count Data", 2013, equation 3.3). Targets are never standardised.
    """

    kind: ClassVar[str] = "poisson"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.means:
            raise MtlError("counts should not be standardised: leave out means and deviations")

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return the negative log-likelihood of every row, averaged over its numbers, in nats."""
        wanted = self._learned(targets, outputs)
        return F.poisson_nll_loss(outputs, wanted, log_input=True, reduction="none").mean(1)

    @property
    def decodes(self) -> bool:
        """Return True, because outputs are the logarithms of predictions."""
        return True

    def decode(self, outputs: Float[Tensor, "rows *outputs"]) -> Float[Tensor, "rows *outputs"]:
        """Convert outputs to expected counts."""
        return outputs.exp()

    def check(self, targets: Tensor) -> None:
        """Raise an error unless targets are finite and at least 0, (N,) or (N, ``num_targets``)."""
        super().check(targets)
        wrong = (targets.reshape(len(targets), -1) < 0).any(1)
        if bool(wrong.any()):
            row = first_row(wrong)
            raise MtlError(f"counts should be at least 0, that of example {row} is not")


@dataclass(frozen=True)
class GaussianRegression(Regression):
    """This regression predicts a variance, too, and learns by a Gaussian likelihood.

    Outputs are the means of all numbers, then the logarithms of their variances, in standardised
    units where targets are standardised. A row's loss is the mean over its numbers of (log v +
    (target - mean)² / v) / 2 (Nix and Weigend, ICNN 1994, equation 4; Kendall and Gal, NeurIPS
    2017, equation 8).
    """

    kind: ClassVar[str] = "gaussian"

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """Return twice the number of numbers: a head gives a mean and a log variance for each."""
        return 2 * self.num_targets

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Negative log-likelihood of every row, averaged over its numbers, without ln √2π."""
        mean, log_variance = outputs.chunk(2, 1)
        errors = (self._learned(targets, outputs) - mean).square()
        return ((log_variance + errors * torch.exp(-log_variance)) / 2).mean(1)

    @property
    def decodes(self) -> bool:
        """Return True, because predictions are the means, and outputs have variances, too."""
        return True

    def decode(self, outputs: Float[Tensor, "rows *outputs"]) -> Float[Tensor, "rows *numbers"]:
        """Return the means, in the units of the targets."""
        return super().decode(outputs.chunk(2, 1)[0])

    def describe(self, outputs: Float[Tensor, "rows outputs"]) -> list[dict[str, Any]]:
        """Return every number's mean and standard deviation, in the units of the targets."""
        log_variance = outputs.double().chunk(2, 1)[1]
        scale = torch.tensor(self.deviations or (1.0,), dtype=torch.float64, device=outputs.device)
        deviations = (torch.exp(log_variance / 2) * scale).cpu().tolist()
        rows = super().describe(outputs)
        names = self.target_names or range(self.num_targets)
        return [
            row | {f"deviation {name}": value for name, value in zip(names, own, strict=True)}
            for row, own in zip(rows, deviations, strict=True)
        ]
