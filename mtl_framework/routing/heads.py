"""Class layers are replaced by heads, of which every task has its own."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .forward_pass import ForwardPass
from .layout import RowLayout
from .plan import RouteError


def resized(layer: nn.Module, num_outputs: int) -> nn.Module:
    """Make a freshly initialised layer like a class layer, with another number of outputs."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, num_outputs, bias)
    assert isinstance(layer, nn.Conv2d)
    return nn.Conv2d(layer.in_channels, num_outputs, 1, bias=bias)


class HeadBank(nn.Module):
    """A head bank holds the tasks' copies of one class layer and stands where the layer was.

    This is for models that do more with class scores than return them: average those of two
    classifiers, add those of patches. The bank receives the rows of all paths; what it returns has,
    task by task, the rows of the task's own paths. Scores are padded with zeros to the widest
    task's, so the model may do anything with them that treats each class alike.

    The layers belong to the networks' ``heads`` and are not registered here a second time.

    Args:
        layers: the tasks' class layers, one for each task.
        forward_pass: the pass that they take part in.
    """

    def __init__(self, layers: Sequence[nn.Module], forward_pass: ForwardPass) -> None:
        super().__init__()
        self._layers = tuple(layers)
        self._width = max(_outputs(layer) for layer in layers)
        self._forward_pass = forward_pass

    def extra_repr(self) -> str:
        """Show the number of tasks and the widest one's outputs in ``repr``."""
        return f"tasks={len(self._layers)}, width={self._width}"

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores (rows of all tasks, ..., width) of every task's own paths."""
        plan = self._forward_pass.plan
        if plan is None:
            raise RouteError("a head bank was called outside a pass of its networks")
        groups = plan.num_groups(plan.num_units)
        if x.shape[0] != plan.examples * groups:
            raise RouteError(f"heads got {x.shape[0]} rows, paths have {plan.examples * groups}")
        by_group = RowLayout(plan.examples, groups, plan.group_major).split_first(x)
        parts = []
        for task, (own, _) in zip(plan.tasks.tolist(), plan.outputs, strict=True):
            layout = RowLayout(plan.examples, len(own), plan.group_major)
            rows = layout.join_first(by_group.index_select(1, own))
            parts.append(layout.split_first(self._padded(self._layers[task], rows)))
        layout = RowLayout(plan.examples, sum(part.shape[1] for part in parts), plan.group_major)
        return layout.join_first(torch.cat(parts, 1))

    def _padded(self, layer: nn.Module, rows: Tensor) -> Tensor:
        scores: Tensor = layer(rows)
        missing = self._width - _outputs(layer)
        return F.pad(
            scores, (0, missing) if isinstance(layer, nn.Linear) else (0, 0, 0, 0, 0, missing)
        )


def _outputs(layer: nn.Module) -> int:
    count = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(count, int)
    return count
