"""A segmentation has a class at every pixel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64
from torch import Tensor

from ....support.errors import MtlError
from ...metrics.classes import recalls
from ...metrics.maps import segmentation_metrics
from ...metrics.metric import Metric, State
from ..base import check_not_negative
from ..classification import MOST_DRAWN
from .base import Drawing, MapObjective, Outputs, Pixels, Targets, check_shape, check_whole


@dataclass(frozen=True)
class Segmentation(MapObjective):
    """This objective is the cross-entropy over classes at every pixel.

    The main metric is the mean IoU.

    Targets are whole numbers (N, H, W). It has more than a dozen public methods, as training,
    measuring, predicting and drawing each need their own.

    Args:
        num_classes: number of classes, at least 2.
        class_names: names of the classes, one each, all different; empty: predictions name class
            indices.
        ignored: the value of targets at pixels that do not count; not one of the classes.
        class_weights: factor of the loss of each class's pixels; empty: 1. A row's loss is the
            plain mean over its pixels, not divided by their weights.

    Raises:
        MtlError: on fewer than two classes, or names or weights that are not one a class.
    """

    num_classes: int
    class_names: tuple[str, ...] = ()
    ignored: int = 255
    class_weights: tuple[float, ...] = ()
    metric: str = field(default="pixel error %", init=False)
    kind: ClassVar[str] = "segmentation"
    drawing: ClassVar[Drawing] = "classes"
    main: ClassVar[str | None] = "miou"
    of_training: ClassVar[frozenset[str]] = frozenset({"class_weights"})

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise MtlError(f"num_classes should be at least 2, found {self.num_classes}")
        for what, given in (
            ("class_names", self.class_names),
            ("class_weights", self.class_weights),
        ):
            if given and len(given) != self.num_classes:
                raise MtlError(
                    f"{what} should have {self.num_classes} entries, one a class, found "
                    f"{len(given)}"
                )
        if len(set(self.class_names)) != len(self.class_names):
            raise MtlError(f"class_names should all be different, found {list(self.class_names)}")
        if 0 <= self.ignored < self.num_classes:
            raise MtlError(
                f"ignored should not be the number of a class, found {self.ignored} of "
                f"{self.num_classes} classes"
            )
        for weight in self.class_weights:
            check_not_negative("class_weights", weight)
        if self.class_weights and not any(self.class_weights):
            raise MtlError("class_weights should not all be 0")

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """Return the number of classes: a head has one logit for each."""
        return self.num_classes

    @property
    def unknown(self) -> float:  # type: ignore[override]
        """Return the value that targets have at pixels without a label."""
        return float(self.ignored)

    def known(self, targets: Targets) -> Bool[Tensor, "rows height width"]:
        """Return which pixels have a label."""
        return targets != self.ignored

    def pixel_losses(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the cross-entropy of every pixel, in nats."""
        weights = None
        if self.class_weights:
            weights = torch.tensor(self.class_weights, dtype=outputs.dtype, device=outputs.device)
        classes = torch.where(self.known(targets), targets.long(), -100)
        return F.cross_entropy(outputs, classes, weights, ignore_index=-100, reduction="none")

    def pixel_scores(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return 100 for pixels whose most probable class is wrong, and 0 for others."""
        return (outputs.argmax(1) != targets).to(torch.float32) * 100

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of classes, from one confusion matrix over all pixels."""
        return segmentation_metrics(self.num_classes)

    def pixels(
        self, outputs: Outputs, targets: Targets, known: Bool[Tensor, "rows height width"]
    ) -> tuple[Int64[Tensor, " pixels"], Int64[Tensor, " pixels"]]:
        """Return the most probable and the true class of every known pixel."""
        return outputs.argmax(1)[known], targets[known].long()

    def details(self) -> Mapping[str, Callable[[], State]]:
        """The detail needs the confusion matrix."""
        return {"confusion": self.metrics()[0].make}

    def detail(self, computed: Mapping[str, Any]) -> dict[str, Any]:
        """Return names and recalls of the classes, and the confusion matrix of pixels."""
        names = self.class_names or tuple(map(str, range(self.num_classes)))
        detail = {"classes": list(names), "accuracy": recalls(computed["confusion"])}
        if self.num_classes <= MOST_DRAWN:
            detail["confusion"] = computed["confusion"].tolist()
        return detail

    def probabilities(self, outputs: Outputs) -> Outputs:
        """Return the softmax over the classes, pixel by pixel."""
        return outputs.softmax(1)

    def pictures(self, decoded: Outputs) -> Int64[Tensor, "rows height width"]:
        """Return the most probable class of every pixel."""
        return decoded.argmax(1)

    def describe(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Say for every row the classes with the largest areas, and their shares of the image."""
        names = self.class_names or tuple(map(str, range(self.num_classes)))
        rows = []
        for classes in outputs.argmax(1).flatten(1).cpu():
            share = torch.bincount(classes, minlength=self.num_classes) / len(classes)
            most = share.argsort(descending=True, stable=True)[:3].tolist()
            shown = [f"{names[n]} {100 * share[n]:.0f} %" for n in most if share[n] > 0]
            rows.append({"largest areas": ", ".join(shown)})
        return rows

    def check(self, targets: Tensor) -> None:
        """Raise an error unless maps hold class indices or ``ignored``, with some pixel known."""
        check_shape(targets, None, "maps of classes")
        check_whole(targets, self.num_classes, self.ignored, "maps of classes")
        self.check_some_known(targets)
