"""One optimiser holds all that a recipe adds to it: schedule, clipping, accumulation, averages."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

import torch
from timm.utils.clip_grad import dispatch_clip_grad
from torch import nn

from ..networks.evaluation import Evaluation
from .averaging import WeightAverage
from .optimizers import match_formats, match_gradients
from .resting import resting, without_gradient
from .schedules import Schedule
from .state import check_optimizer_state
from .training import TrainingConfig

_ADDED = "recipe"


class RecipeOptimizer:
    """It is used as any optimiser of torch's: ``zero_grad()``, gradients, ``step()``.

    With accumulation only every n-th call of :meth:`step` moves the weights, along the mean of n
    gradients, and :meth:`zero_grad` keeps what is there in between. :meth:`Strategy.make_optimizer`
    makes it.

    Args:
        inner: the optimiser that moves the weights.
        training: the recipe, the section ``training`` of the run's config.
        schedule: schedule of the learning rates; ``None``: they stay.
        average: moving average of the weights; ``None``: none is kept.
        parts: parameters with equal parts of one task each, along the first axis, and how many;
            with ``unused_weights: skip`` a part stays where it is in a step that gives it no
            gradient.

    Attributes:
        steps: number of calls of :meth:`step` so far.
    """

    def __init__(
        self,
        inner: torch.optim.Optimizer,
        training: TrainingConfig,
        schedule: Schedule | None = None,
        average: WeightAverage | None = None,
        parts: Mapping[nn.Parameter, int] | None = None,
    ) -> None:
        self.inner = inner
        self.training = training
        self.schedule = schedule
        self.average = average
        self.steps = 0
        self._parts = parts or {} if training.unused_weights == "skip" else {}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Return the groups of parameters, as in torch."""
        return self.inner.param_groups

    @property
    def state(self) -> MutableMapping[Any, Any]:
        """State of the optimiser for every parameter, as in torch."""
        return self.inner.state

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return all parameters that are moved."""
        return [p for group in self.inner.param_groups for p in group["params"]]

    @property
    def moves_next(self) -> bool:
        """Say whether the next call of :meth:`step` moves the weights."""
        return (self.steps + 1) % self.training.accumulate == 0

    def register_step_post_hook(self, hook: Callable[..., None]) -> Any:
        """Call ``hook`` whenever the weights have moved, as in torch."""
        return self.inner.register_step_post_hook(hook)

    def zero_grad(self) -> None:
        """Begin a step: forget gradients, but not those that are still being accumulated."""
        if self.steps % self.training.accumulate == 0:
            self.inner.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        """End a step: move the weights, if it is time."""
        if self.moves_next:
            self._prepare_gradients()
            with resting(self.inner, without_gradient(self._parts)):
                self.inner.step()
        self.steps += 1
        if self.average is not None and self.steps % self.training.accumulate == 0:
            self.average.update()
        if self.schedule is not None:
            self.schedule.stepped(self.steps)

    def restart_average(self, parameters: Iterable[nn.Parameter] | None = None) -> None:
        """Begin the average anew, after the strategy has put other weights in place.

        Args:
            parameters: those that were replaced; default: all.
        """
        if self.average is not None:
            self.average.restart(parameters)

    def evaluated(self, evaluation: Evaluation) -> None:
        """Take note of an evaluation, for schedules that follow validation."""
        if self.schedule is not None:
            self.schedule.evaluated(evaluation)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimiser's state as in torch, and under ``recipe`` what was added to it."""
        state = dict(self.inner.state_dict())
        added: dict[str, Any] = {}
        if self.schedule is not None:
            added["schedule"] = self.schedule.state_dict()
        if self.average is not None:
            added["average"] = self.average.state_dict()
        pending = {
            number: parameter.grad
            for number, parameter in enumerate(self.parameters)
            if parameter.grad is not None and self.steps % self.training.accumulate
        }
        if pending:
            added["gradients"] = pending
        if added or self.training.accumulate > 1:
            state[_ADDED] = {"steps": self.steps, **added}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            MtlError: if a schedule was laid out for another number of steps, or the state is of
                other parameters.
            KeyError: if the state is that of another recipe.
        """
        added = state.get(_ADDED, {})
        if self.schedule is not None and "schedule" in added:
            self.schedule.load_state_dict(added["schedule"])
        options = [{k: v for k, v in g.items() if k != "params"} for g in self.param_groups]
        plain = {k: v for k, v in state.items() if k != _ADDED}
        check_optimizer_state(self.inner, plain, "optimizer")
        self.inner.load_state_dict(plain)
        match_formats(self.inner)
        for group, ours in zip(self.param_groups, options, strict=True):
            for name, value in ours.items():
                group.setdefault(name, value)  # states from before the recipe lack some
        self.steps = int(added.get("steps", 0))
        if self.average is not None:
            self.average.load_state_dict(added["average"])
        parameters = self.parameters
        for number, gradient in added.get("gradients", {}).items():
            parameters[number].grad = torch.empty_like(parameters[number]).copy_(gradient)

    def _prepare_gradients(self) -> None:
        training, parameters = self.training, self.parameters
        match_gradients(self.inner)
        if training.accumulate > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.div_(training.accumulate)
        if training.clip is not None:
            dispatch_clip_grad(parameters, training.clip, training.clip_by)
        if training.unused_weights == "move":
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
