"""MultiLabel: several labels a row, each of which is there, is not, or is not known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ...support.errors import MtlError
from ..metrics.classes import reliability
from ..metrics.labels import UNKNOWN, label_confusion, multi_label_metrics
from ..metrics.metric import Gathered, Metric, State
from .base import Objective, check_not_negative, first_row
from .binary import binary_losses


@dataclass(frozen=True)
class MultiLabel(Objective):
    """This objective is the binary cross-entropy on one logit a label.

    The metric is the percentage of wrong labels.

    Targets are (rows, labels): 1, 0, or -1 where it is not known whether a row has a label. Such
    entries enter no loss, no gradient and no metric. A row's loss is the mean over its known
    labels, 0 where none is known.

    Args:
        num_labels: number of labels.
        label_names: names of the labels, one each; empty: predictions name label indices.
        positive_weights: factor of the loss where a label is 1, one for each label; empty: 1.
        focal_gamma: power of 1 - p by which losses are multiplied, as in :class:`Binary`.

    Raises:
        MtlError: on options that are out of range or not one a label.
    """

    num_labels: int
    label_names: tuple[str, ...] = ()
    positive_weights: tuple[float, ...] = ()
    focal_gamma: float = 0.0
    metric: str = field(default="label error %", init=False)
    kind: ClassVar[str] = "multi_label"
    of_training: ClassVar[frozenset[str]] = frozenset({"positive_weights", "focal_gamma"})

    def __post_init__(self) -> None:
        if self.num_labels < 1:
            raise MtlError(f"num_labels should be at least 1, found {self.num_labels}")
        for name in ("label_names", "positive_weights"):
            given = getattr(self, name)
            if given and len(given) != self.num_labels:
                raise MtlError(
                    f"{name} should have {self.num_labels} entries, one a label, found {len(given)}"
                )
        if len(set(self.label_names)) != len(self.label_names):
            raise MtlError(f"label_names should all be different, found {list(self.label_names)}")
        for weight in self.positive_weights:
            check_not_negative("positive_weights", weight)
        check_not_negative("focal_gamma", self.focal_gamma)

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """Return the number of labels: a head has one logit for each."""
        return self.num_labels

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the labels, or their numbers if they have no names."""
        return self.label_names or tuple(map(str, range(self.num_labels)))

    def losses(
        self, outputs: Float[Tensor, "rows labels"], targets: Shaped[Tensor, "rows labels"]
    ) -> Float[Tensor, " rows"]:
        """Return the binary cross-entropy of every row, averaged over its known labels, in nats."""
        weights: float | Tensor = 1.0
        if self.positive_weights:
            weights = torch.tensor(self.positive_weights, device=outputs.device)
        known = targets != UNKNOWN
        each = binary_losses(outputs, targets.clamp(min=0), weights, self.focal_gamma)
        return torch.where(known, each, 0).sum(1) / known.sum(1).clamp(min=1)

    def scores(
        self, outputs: Float[Tensor, "rows labels"], targets: Shaped[Tensor, "rows labels"]
    ) -> Float[Tensor, " rows"]:
        """Share of a row's known labels that are wrong, in percent; 0 where none is known."""
        known = targets != UNKNOWN
        wrong = ((outputs > 0) != (targets > 0.5)) & known
        return 100 * wrong.sum(1).float() / known.sum(1).clamp(min=1)

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of several binary labels."""
        return multi_label_metrics()

    def judged(
        self, outputs: Float[Tensor, "rows labels"], targets: Shaped[Tensor, "rows labels"]
    ) -> tuple[Float[Tensor, "rows labels"], Shaped[Tensor, "rows labels"]]:
        """Return probabilities, and targets as whole numbers."""
        return outputs.double().sigmoid(), targets.long()

    def details(self) -> Mapping[str, Callable[[], State]]:
        """The detail needs all rows."""
        return {"all": Gathered}

    def detail(self, computed: Mapping[str, Any]) -> dict[str, Any]:
        """Return names, accuracies and counts of the labels, and one reliability over them all."""
        probabilities, targets = computed["all"]
        known = targets != UNKNOWN
        counts = label_confusion(computed["all"])
        return {
            "classes": list(self.names),
            "accuracy": [100 * (c[0] + c[3]) / sum(c) if sum(c) else None for c in counts],
            "labels": counts,
            "reliability": reliability(probabilities[known], targets[known].double()),
        }

    def probabilities(self, outputs: Float[Tensor, "rows labels"]) -> Float[Tensor, "rows labels"]:
        """Return the probability of every label."""
        return outputs.sigmoid()

    def describe(self, outputs: Float[Tensor, "rows labels"]) -> list[dict[str, Any]]:
        """Say for every row the probability of each label, by its name."""
        rows = outputs.double().sigmoid().tolist()
        return [dict(zip(self.names, row, strict=True)) for row in rows]

    def check(self, targets: Tensor) -> None:
        """Raise an error unless targets are (N, ``num_labels``) of 1, 0 and -1."""
        if targets.ndim != 2 or targets.shape[1] != self.num_labels:
            raise MtlError(
                f"labels should have shape (N, {self.num_labels}), found {tuple(targets.shape)}"
            )
        wrong = (targets != 0) & (targets != 1) & (targets != UNKNOWN)
        if bool(wrong.any()):
            row = first_row(wrong.any(1))
            value = targets[row][wrong[row]][0].item()
            raise MtlError(f"label {value:g} of example {row} is none of 1, 0, and -1 for unknown")
