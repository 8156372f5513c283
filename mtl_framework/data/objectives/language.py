"""A language model predicts the next word at every position."""

import math
import sys
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from ...support.errors import MtlError
from ..metrics.metric import Metric
from ..metrics.numbers import word_metrics
from .base import Objective, first_row

_MOST_NATS = math.log(sys.float_info.max)


@dataclass(frozen=True)
class LanguageModel(Objective):
    """This objective is the cross-entropy of the next word at every position.

    The metric is the perplexity.

    Outputs have shape (rows, positions, ``vocabulary_size``), targets (rows, positions), int64. A
    row's loss is its mean over positions, in nats; the perplexity is exp of the mean over rows.

    Args:
        vocabulary_size: number of words, at least 2.

    Raises:
        MtlError: on fewer than two words.
    """

    vocabulary_size: int
    metric: str = field(default="perplexity", init=False)
    kind: ClassVar[str] = "language_model"

    def __post_init__(self) -> None:
        if self.vocabulary_size < 2:
            raise MtlError(f"vocabulary_size should be at least 2, found {self.vocabulary_size}")

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """Return the number of words: a head has one logit for each."""
        return self.vocabulary_size

    def losses(
        self,
        outputs: Float[Tensor, "rows positions words"],
        targets: Shaped[Tensor, "rows positions"],
    ) -> Float[Tensor, " rows"]:
        """Return the cross-entropy of every row, averaged over its positions, in nats."""
        each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none")
        return each.view(targets.shape).mean(1)

    def scores(
        self,
        outputs: Float[Tensor, "rows positions words"],
        targets: Shaped[Tensor, "rows positions"],
    ) -> Float[Tensor, " rows"]:
        """Return the same cross-entropies; :meth:`summarize` makes a perplexity of their mean."""
        return self.losses(outputs.float(), targets)

    def summarize(self, mean_score: float) -> float:
        """Perplexity: exp of the mean cross-entropy; infinite beyond what a float holds."""
        return math.exp(mean_score) if mean_score < _MOST_NATS else math.inf

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of a language model."""
        return word_metrics(self.vocabulary_size)

    def judged(
        self,
        outputs: Float[Tensor, "rows positions words"],
        targets: Shaped[Tensor, "rows positions"],
    ) -> tuple[Float[Tensor, "rows positions words"], Shaped[Tensor, "rows positions"]]:
        """Return logits and true words."""
        return outputs.double(), targets

    def probabilities(
        self, outputs: Float[Tensor, "rows positions words"]
    ) -> Float[Tensor, "rows positions words"]:
        """Return the softmax over the words."""
        return outputs.softmax(2)

    def check(self, targets: Tensor) -> None:
        """Raise an error unless words are int64 (N, positions), 0 to ``vocabulary_size - 1``."""
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
