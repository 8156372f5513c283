"""Networks have D decoders a task on a backbone that is shared in any way."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mtl_framework import Backbone, Features, MtlError, TaskNetworks
from mtl_framework.data import Task

from .decoders import Decoders


class PseudoTaskNetworks(TaskNetworks):
    """These are task networks whose heads are :class:`~mtl_pta.decoders.Decoders`.

    A task's training loss is the mean over its decoders (equation 4); features are computed once.
    It predicts with, and is extracted with, one decoder: the chosen one, or the mean of all, by
    :attr:`prediction`.

    Args:
        backbone: the backbone, whose heads have to follow its features.
        tasks: the tasks that are trained.
        weights_per_unit: K, as :class:`~mtl_framework.TaskNetworks` takes it.
        decoders: D, the number of decoders of each task.
        dropout: dropout rate in front of every decoder at first.
        dropping: whether rates can ever differ from 0.
        independent: whether each decoder has its own dropout masks.

    Raises:
        MtlError: if heads are inside the backbone, where nothing can be computed once for several;
            or if a task has maps, whose heads are not linear.
    """

    prediction: Literal["best", "ensemble"] = "best"

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
        weights_per_unit: int | Sequence[int],
        *,
        decoders: int,
        dropout: float,
        dropping: bool,
        independent: bool,
    ) -> None:
        if backbone.heads_inside:
            raise MtlError(
                f"backbone {backbone.name!r} does more with class scores than return them, so that "
                "there are no features for several decoders; take one with a single linear "
                "classifier at its end"
            )
        for task in tasks:
            if task.objective.is_map:
                raise MtlError(
                    f"task {task.name!r} has maps; several decoders of a task are linear layers on "
                    "common features, whose dropout and mean the method defines, and heads of "
                    "maps are not"
                )
            if task.head_of is not None:
                raise MtlError(
                    f"tasks {task.head_of!r} and {task.name!r} share a head; several decoders of a "
                    "task are its own: leave out shared_heads"
                )
        super().__init__(backbone, tasks, weights_per_unit)
        self.heads = nn.ModuleList(
            Decoders(head, decoders, dropout, dropping, independent) for head in self.heads
        )

    def decoders(self, task: int) -> Decoders:
        """Return a task's decoders."""
        decoders = self.heads[task]
        assert isinstance(decoders, Decoders)
        return decoders

    def head(self, task: int) -> nn.Module:
        """Return the chosen decoder, or one that gives the mean of all decoders' outputs."""
        decoders = self.decoders(task)
        if self.prediction == "ensemble":
            return decoders.mean()
        return decoders.layers[int(decoders.chosen)]

    def decoder_scores(
        self, task: int, features: Features
    ) -> Float[Tensor, "decoders rows *outputs"]:
        """Compute the outputs of all decoders of a task for its features, in full precision."""
        return self.in_full_precision(self.heads[task], features)

    def row_losses(
        self,
        task: int,
        features: Features,
        targets: Shaped[Tensor, "rows *dims"],
    ) -> Float[Tensor, " rows"]:
        """Compute the mean over the decoders of every row's loss (equation 4)."""
        outputs = self.decoder_scores(task, features)
        repeated = targets.repeat(len(outputs), *[1] * (targets.ndim - 1))
        losses = self.tasks[task].objective.losses(outputs.flatten(0, 1), repeated)
        return losses.view(len(outputs), -1).mean(0)
