"""What an objective is: what a task is trained with and judged by."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from ...support.errors import MtlError
from ..metrics.metric import Metric, State


class Objective(ABC):
    """A loss to train with, row by row, and the metrics to report, over sets of rows.

    ``metric`` is the label of the main metric where the user chooses none; lower is better.
    ``num_outputs`` is the width of the task's head: its outputs have shape (rows, ...,
    num_outputs). Outputs and targets may have any further dimensions, and single entries of a row's
    targets may be unknown, where an objective says so: only :meth:`losses`, :meth:`scores`,
    :meth:`judged` and :meth:`check` look into them.

    It has more than a dozen public names because training, measuring and predicting each ask their
    own questions; most have an answer here that authors need not replace.

    Attributes:
        kind: what a config calls objectives of this class.
        of_training: fields that say how targets are learned, not what they mean.
        is_map: whether outputs are maps (rows, num_outputs, height, width), which a decoder makes
            of a backbone's feature maps.
        main: name of the main metric where it is no mean over rows; ``None``: that of the scores.
    """

    metric: str
    num_outputs: int
    kind: ClassVar[str] = ""
    of_training: ClassVar[frozenset[str]] = frozenset()
    is_map: ClassVar[bool] = False
    main: ClassVar[str | None] = None

    @abstractmethod
    def losses(
        self, outputs: Float[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Differentiable loss of every row."""

    @abstractmethod
    def scores(
        self, outputs: Float[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Every row's contribution to ``metric``; their mean goes into :meth:`summarize`."""

    def summarize(self, mean_score: float) -> float:
        """``metric`` of a set of rows whose mean score is given."""
        return mean_score

    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that there are for such a task; the first is ``metric``.

        An objective without any reports ``metric`` alone.
        """
        return ()

    def judged(
        self, outputs: Float[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> tuple[Shaped[Tensor, "parts *outputs"], Shaped[Tensor, "parts *dims"]]:
        """What metrics compare: predictions and targets, without entries that do not count.

        A part is a row, or whatever the metrics count, e.g. a pixel.
        """
        return self.decode(outputs), targets

    def details(self) -> Mapping[str, Callable[[], State]]:
        """States that :meth:`detail` needs beyond those of the metrics, by name."""
        return {}

    def detail(self, computed: Mapping[str, Any]) -> dict[str, Any]:
        """What a report draws beside numbers, as plain values, e.g. a confusion matrix.

        Args:
            computed: what states have computed, by name.
        """
        return {}

    @property
    def decodes(self) -> bool:
        """Whether :meth:`decode` changes anything."""
        return False

    def decode(self, outputs: Float[Tensor, "rows *outputs"]) -> Float[Tensor, "rows *decoded"]:
        """Outputs as predictions give them, in the units of the targets; here they are as they are.

        Predictions and exported networks apply this; :meth:`losses` and :meth:`scores` are given
        outputs as the networks have them. Logits stay logits: see :meth:`probabilities`.
        """
        return outputs

    def probabilities(
        self, outputs: Float[Tensor, "rows *outputs"]
    ) -> Float[Tensor, "rows *outputs"] | None:
        """Probabilities, where outputs are logits; ``None`` where they are none."""
        return None

    def describe(self, outputs: Float[Tensor, "rows *outputs"]) -> list[dict[str, Any]]:
        """A row of plain values for every row of outputs, as ``mtl predict`` prints them."""
        decoded = self.decode(outputs).flatten(1).double().cpu()
        return [{f"output {n}": x for n, x in enumerate(row)} for row in decoded.tolist()]

    def same_task(self, other: "Objective") -> bool:
        """Whether targets of the other objective mean the same, however they are learned."""
        if type(self) is not type(other) or not is_dataclass(self):
            return self == other
        names = {field.name for field in fields(self)} - self.of_training
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @abstractmethod
    def check(self, targets: Tensor) -> None:
        """Refuse targets that the loss cannot take.

        Raises:
            MtlError: naming the values found and those allowed.
        """


def check_share(name: str, value: float) -> None:
    """Refuse what is no number from 0 to below 1.

    Raises:
        MtlError: naming it.
    """
    if not 0 <= value < 1:
        raise MtlError(f"{name} should be at least 0 and below 1, found {value:g}")


def check_not_negative(name: str, value: float) -> None:
    """Refuse a negative or infinite number.

    Raises:
        MtlError: naming it.
    """
    if not 0 <= value < float("inf"):
        raise MtlError(f"{name} should be a number of at least 0, found {value:g}")


def first_row(marked: Bool[Tensor, " rows"]) -> int:
    """The first marked row."""
    return int(marked.nonzero()[0])
