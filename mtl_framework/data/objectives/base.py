"""The base class of objectives: the loss that trains a task and the metrics that judge it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from ...support.errors import MtlError
from ..metrics.metric import Metric, State


class Objective(ABC):
    """An objective holds a task's loss, row by row, and its metrics, over sets of rows.

    ``metric`` is the label of the main metric where the user chooses none; lower is better.
    ``num_outputs`` is the width of the task's head: its outputs have shape (rows, ...,
    num_outputs). Outputs and targets may have any further dimensions, and single entries of a row's
    targets may be unknown, where an objective says so: only :meth:`losses`, :meth:`scores`,
    :meth:`judged` and :meth:`check` look into them.

    It has more than a dozen public methods because training, measuring and predicting each need
    their own; most have a default here that authors need not override.

    Attributes:
        kind: name of the class in a config.
        of_training: names of fields that change how targets are learned, not what they mean.
        is_map: whether outputs are maps (rows, num_outputs, height, width), which a decoder makes
            of a backbone's feature maps.
        main: name of the main metric where it is no mean over rows; ``None``: the mean score is the
            main metric.
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
        """Return the differentiable loss of every row."""

    @abstractmethod
    def scores(
        self, outputs: Float[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return every row's contribution to ``metric``; :meth:`summarize` is given their mean."""

    def summarize(self, mean_score: float) -> float:
        """Turn the mean score of a set of rows into ``metric``."""
        return mean_score

    def metrics(self) -> tuple[Metric, ...]:
        """Return all metrics that such a task can report; the first is ``metric``.

        An objective that returns none reports ``metric`` alone.
        """
        return ()

    def judged(
        self, outputs: Float[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> tuple[Shaped[Tensor, "parts *outputs"], Shaped[Tensor, "parts *dims"]]:
        """Return what metrics compare: predictions and targets, without unknown entries.

        A part is a row, or whatever the metrics count, e.g. a pixel.
        """
        return self.decode(outputs), targets

    def details(self) -> Mapping[str, Callable[[], State]]:
        """Return makers of states, by name, that :meth:`detail` needs beyond the metrics' own."""
        return {}

    def detail(self, computed: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a report draws beside numbers, as plain values, e.g. a confusion matrix.

        Args:
            computed: what the states have computed, by name.
        """
        return {}

    @property
    def decodes(self) -> bool:
        """Say whether :meth:`decode` changes outputs."""
        return False

    def decode(self, outputs: Float[Tensor, "rows *outputs"]) -> Float[Tensor, "rows *decoded"]:
        """Convert outputs to predictions in the units of the targets; by default they are the same.

        Predictions and exported networks apply this; :meth:`losses` and :meth:`scores` are given
        the raw outputs of the networks. Logits stay logits: see :meth:`probabilities`.
        """
        return outputs

    def probabilities(
        self, outputs: Float[Tensor, "rows *outputs"]
    ) -> Float[Tensor, "rows *outputs"] | None:
        """Return probabilities where outputs are logits; ``None`` where they are not."""
        return None

    def describe(self, outputs: Float[Tensor, "rows *outputs"]) -> list[dict[str, Any]]:
        """Describe every row of outputs by plain values, as ``mtl predict`` prints them."""
        decoded = self.decode(outputs).flatten(1).double().cpu()
        return [{f"output {n}": x for n, x in enumerate(row)} for row in decoded.tolist()]

    def same_task(self, other: "Objective") -> bool:
        """Say whether targets mean the same under both objectives, however they are learned."""
        if type(self) is not type(other) or not is_dataclass(self):
            return self == other
        names = {field.name for field in fields(self)} - self.of_training
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @abstractmethod
    def check(self, targets: Tensor) -> None:
        """Raise an error on targets that the loss cannot take.

        Raises:
            MtlError: naming the values found and those allowed.
        """


def check_share(name: str, value: float) -> None:
    """Raise an error unless an option's value is at least 0 and below 1.

    Raises:
        MtlError: naming the option and its value.
    """
    if not 0 <= value < 1:
        raise MtlError(f"{name} should be at least 0 and below 1, found {value:g}")


def check_not_negative(name: str, value: float) -> None:
    """Raise an error on a negative or infinite value of an option.

    Raises:
        MtlError: naming the option and its value.
    """
    if not 0 <= value < float("inf"):
        raise MtlError(f"{name} should be a number of at least 0, found {value:g}")


def first_row(marked: Bool[Tensor, " rows"]) -> int:
    """Return the number of the first marked row."""
    return int(marked.nonzero()[0])
