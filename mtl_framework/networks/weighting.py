"""Gradients of several tasks made into one, weight by weight, by the library TorchJD."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..support.errors import MtlError, UnknownNameError
from .scalarizing import LossCombination

# Names as in the literature, of classes without a state that a checkpoint would have to hold.
AGGREGATORS = {
    "aligned_mtl": "AlignedMTL", "cagrad": "CAGrad", "config": "ConFIG", "dualproj": "DualProj",
    "fairgrad": "FairGrad", "graddrop": "GradDrop", "imtl_g": "IMTLG", "mean": "Mean",
    "mgda": "MGDA", "pcgrad": "PCGrad", "random": "Random", "sum": "Sum", "upgrad": "UPGrad",
}  # fmt: skip
SCALARIZERS = {
    "dynamic_weight_average": "DWA", "geometric_mean": "GeometricMean", "imtl_l": "IMTLL",
    "random_loss": "Random", "uncertainty": "UW",
}  # fmt: skip
#: Options of ours beside those of a class: of its learned parameters, or of epochs.
_OURS: dict[str, dict[str, float]] = {
    "uncertainty": {"learning_rate": 1e-3},
    "imtl_l": {"learning_rate": 1e-3},
    "dynamic_weight_average": {"epoch": 100},
}

TaskGradients = Sequence[Mapping[nn.Parameter, Tensor]]


class GradientWeighting:
    """Makes one gradient of those of the tasks that use a weight.

    An **aggregator** sees, for every set of tasks, the gradients of all weights that exactly these
    tasks use, side by side, and nothing of other weights or tasks; a weight that one task uses gets
    that task's gradient. Where all tasks share everything but their heads this is TorchJD's
    ``mtl_backward``. A **scalarizer** makes one loss of those of all tasks; it may have a state,
    which checkpoints hold.

    Args:
        name: a key of ``AGGREGATORS`` or ``SCALARIZERS``.
        options: options of the class in TorchJD, and ``learning_rate`` of what a scalarizer
            learns, or ``epoch``, its number of steps.
        tasks: how many there are.

        from_config: whether the run's config asks for it; what a strategy puts into its networks'
            attribute ``weighting`` by itself goes where the config names another one.

    Attributes:
        uses: steps in which it was asked.

    Raises:
        MtlError: if TorchJD is not installed, or name or options do not fit.
    """

    def __init__(
        self, name: str, options: Mapping[str, Any], tasks: int, from_config: bool = False
    ) -> None:
        known = {**AGGREGATORS, **SCALARIZERS}
        if name not in known:
            raise UnknownNameError("weighting in training", name, known)
        self.name = name
        self.from_config = from_config
        self.uses = 0
        ours = dict(_OURS.get(name, {}))
        room = "torchjd.aggregation" if name in AGGREGATORS else "torchjd.scalarization"
        try:
            made_by = getattr(import_module(room), known[name])
        except ImportError as error:
            raise MtlError(
                "training.weighting needs TorchJD: pip install 'mtl-framework[torchjd]'"
            ) from error
        taken = [
            key for key in inspect.signature(made_by).parameters if key not in ("self", "shape")
        ]
        for option in options:
            if option not in (*taken, *ours):
                raise UnknownNameError(
                    f"option of training.weighting {name!r}", option, [*taken, *ours]
                )
        ours |= {key: value for key, value in options.items() if key in ours}
        own = {key: value for key, value in options.items() if key not in ours}
        for key, value in ours.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise MtlError(f"training.weighting.{key} should be above 0, found {value!r}")
        try:
            if "shape" in inspect.signature(made_by).parameters:
                own["shape"] = tasks
            self._method: Callable[[Tensor], Tensor] = made_by(**own)
        except (TypeError, ValueError, ImportError) as error:
            reason = " ".join(str(error).split())
            raise MtlError(f"training.weighting {name!r} cannot be made: {reason}") from error
        self._losses = LossCombination(
            self._method, tasks, ours.get("learning_rate", 1.0), int(ours.get("epoch", 1))
        )

    def combine(
        self, gradients: TaskGradients, losses: Float[Tensor, " tasks"]
    ) -> dict[nn.Parameter, Tensor]:
        """One gradient for every weight that a task uses.

        Args:
            gradients: gradients of every task's loss, by the weights that it uses.
            losses: losses of every task.
        """
        self.uses += 1
        if self.name in SCALARIZERS:
            return self._by_losses(gradients, losses)
        combined: dict[nn.Parameter, Tensor] = {}
        for tasks, parameters in _by_users(gradients).items():
            if len(tasks) == 1:
                combined |= {p: gradients[tasks[0]][p] for p in parameters}
                continue
            rows = [torch.cat([gradients[t][p].flatten() for p in parameters]) for t in tasks]
            together = self._method(torch.stack(rows))
            parts = torch.split(together, [p.numel() for p in parameters])
            for parameter, part in zip(parameters, parts, strict=True):
                combined[parameter] = part.view(parameter.shape)
        return combined

    def _by_losses(
        self, gradients: TaskGradients, losses: Float[Tensor, " tasks"]
    ) -> dict[nn.Parameter, Tensor]:
        """Chain rule: the scalarizer's derivative by each loss weighs that loss's gradients."""
        present = torch.tensor([bool(own) for own in gradients], device=losses.device)
        factors = self._losses.factors(losses, present)
        combined: dict[nn.Parameter, Tensor] = {}
        for factor, own in zip(factors, gradients, strict=True):
            for parameter, gradient in own.items():
                part = factor * gradient
                combined[parameter] = combined[parameter] + part if parameter in combined else part
        return combined

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on; nothing for aggregators."""
        return self._losses.state_dict() if self.name in SCALARIZERS else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            MtlError: if it is the state of another method.
        """
        if bool(state) != (self.name in SCALARIZERS):
            raise MtlError("the saved state is that of another training.weighting")
        if state:
            self._losses.load_state_dict(state)


def _by_users(gradients: TaskGradients) -> dict[tuple[int, ...], list[nn.Parameter]]:
    """Weights by the tasks that use them, in a fixed order."""
    users: dict[nn.Parameter, list[int]] = {}
    for task, own in enumerate(gradients):
        for parameter in own:
            users.setdefault(parameter, []).append(task)
    sets: dict[tuple[int, ...], list[nn.Parameter]] = {}
    for parameter, tasks in users.items():
        sets.setdefault(tuple(tasks), []).append(parameter)
    return sets
