"""The library TorchJD makes one gradient of several tasks' gradients, weight by weight."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..support.errors import MtlError, UnknownNameError, message_of
from .bargaining import Bargaining
from .scalarizing import LossCombination

# Names as in the literature.
AGGREGATORS = {
    "aligned_mtl": "AlignedMTL", "cagrad": "CAGrad", "config": "ConFIG", "dualproj": "DualProj",
    "fairgrad": "FairGrad", "graddrop": "GradDrop", "imtl_g": "IMTLG", "mean": "Mean",
    "mgda": "MGDA", "nash_mtl": "NashMTL", "pcgrad": "PCGrad", "random": "Random", "sum": "Sum",
    "upgrad": "UPGrad",
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

INSTALL = "pip install 'mtl-framework[torchjd]'"

TaskGradients = Sequence[Mapping[nn.Parameter, Tensor]]


class GradientWeighting:
    """It makes one gradient of those of the tasks that use a weight.

    An **aggregator** sees, for every set of tasks, the gradients of all weights that exactly these
    tasks use, side by side, and nothing of other weights or tasks; a weight that one task uses gets
    that task's gradient. Where all tasks share everything but their heads this is TorchJD's
    ``mtl_backward``. A **scalarizer** makes one loss of those of all tasks; it may have a state,
    which checkpoints hold.

    Args:
        name: a key of ``AGGREGATORS`` or ``SCALARIZERS``.
        options: options of TorchJD's class; also ``learning_rate`` for what a scalarizer learns, or
            ``epoch``, its number of steps.
        tasks: number of tasks.

        from_config: whether the run's config asks for it; what a strategy puts into its networks'
            attribute ``weighting`` by itself goes where the config names another one.

    Attributes:
        uses: number of steps in which it was asked.

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
        made_by = _torchjd(name, known[name])
        ours, own = _options(name, options, made_by)
        counted = inspect.signature(made_by).parameters.keys() & {"shape", "n_tasks"}

        def make(number: int) -> Any:
            return made_by(**own, **dict.fromkeys(counted, number))

        try:
            self._method: Callable[[Tensor], Tensor] = make(tasks)
        except ImportError as error:
            raise MtlError(f"training.weighting={name} needs more: {INSTALL}") from error
        except (TypeError, ValueError) as error:
            reason = message_of(error)
            raise MtlError(f"training.weighting {name!r} cannot be made: {reason}") from error
        self._bargaining = Bargaining(make) if name == "nash_mtl" else None
        self._losses = LossCombination(
            self._method, tasks, ours.get("learning_rate", 1.0), int(ours.get("epoch", 1))
        )

    def combine(
        self, gradients: TaskGradients, losses: Float[Tensor, " tasks"]
    ) -> dict[nn.Parameter, Tensor]:
        """Make one gradient for every weight that a task uses.

        Args:
            gradients: gradients of every task's loss, by the weights that it uses.
            losses: the loss of every task.
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
            together = self._aggregate(torch.stack(rows), tasks)
            parts = torch.split(together, [p.numel() for p in parameters])
            for parameter, part in zip(parameters, parts, strict=True):
                combined[parameter] = part.view(parameter.shape)
        return combined

    def _aggregate(self, rows: Tensor, tasks: tuple[int, ...]) -> Tensor:
        return self._method(rows) if self._bargaining is None else self._bargaining(rows, tasks)

    def _by_losses(
        self, gradients: TaskGradients, losses: Float[Tensor, " tasks"]
    ) -> dict[nn.Parameter, Tensor]:
        """Weigh each loss's gradients by the scalarizer's derivative by that loss (chain rule)."""
        present = torch.tensor([bool(own) for own in gradients], device=losses.device)
        factors = self._losses.factors(losses, present)
        combined: dict[nn.Parameter, Tensor] = {}
        for factor, own in zip(factors, gradients, strict=True):
            for parameter, gradient in own.items():
                part = factor * gradient
                combined[parameter] = combined[parameter] + part if parameter in combined else part
        return combined

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on; nothing for most aggregators."""
        if self._bargaining is not None:
            return self._bargaining.state_dict()
        return self._losses.state_dict() if self.name in SCALARIZERS else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises:
            MtlError: if it is the state of another method.
        """
        if self._bargaining is not None:
            self._bargaining.load_state_dict(state)
            return
        if bool(state) != (self.name in SCALARIZERS):
            raise MtlError("the saved state is that of another training.weighting")
        if state:
            self._losses.load_state_dict(state)


def _torchjd(name: str, class_name: str) -> Callable[..., Any]:
    """Return TorchJD's class of this name."""
    room = "torchjd.aggregation" if name in AGGREGATORS else "torchjd.scalarization"
    try:
        made_by: Callable[..., Any] = getattr(import_module(room), class_name)
    except ImportError as error:
        raise MtlError(f"training.weighting needs TorchJD: {INSTALL}") from error
    return made_by


def _options(
    name: str, options: Mapping[str, Any], made_by: Callable[..., Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return our own options, completed, and those of TorchJD's class.

    Raises:
        MtlError: if there is no such option, or one of ours is not above 0.
    """
    ours: dict[str, Any] = dict(_OURS.get(name, {}))
    host = ("self", "shape", "n_tasks")
    taken = [*(key for key in inspect.signature(made_by).parameters if key not in host), *ours]
    for option in options:
        if option not in taken:
            raise UnknownNameError(f"option of training.weighting {name!r}", option, taken)
    own = {key: value for key, value in options.items() if key not in ours}
    ours |= {key: value for key, value in options.items() if key in ours}
    for key, value in ours.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise MtlError(f"training.weighting.{key} should be above 0, found {value!r}")
    return ours, own


def _by_users(gradients: TaskGradients) -> dict[tuple[int, ...], list[nn.Parameter]]:
    """Group weights by the tasks that use them, in a fixed order."""
    users: dict[nn.Parameter, list[int]] = {}
    for task, own in enumerate(gradients):
        for parameter in own:
            users.setdefault(parameter, []).append(task)
    sets: dict[tuple[int, ...], list[nn.Parameter]] = {}
    for parameter, tasks in users.items():
        sets.setdefault(tuple(tasks), []).append(parameter)
    return sets
