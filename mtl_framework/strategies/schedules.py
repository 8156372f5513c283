"""Schedules move the learning rate step by step, by timm's factory."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from timm.scheduler.scheduler_factory import create_scheduler_v2

from ..networks.evaluation import Evaluation
from ..support.errors import MtlError, message_of
from .training import ScheduleConfig


class Schedule(ABC):
    """A schedule sets the learning rates of an optimiser's groups."""

    @abstractmethod
    def stepped(self, steps: int) -> None:
        """Set the rates for the step that follows after ``steps`` steps."""

    @abstractmethod
    def evaluated(self, evaluation: Evaluation) -> None:
        """Take note of an evaluation."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run goes on from."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""


def make_schedule(
    optimizer: torch.optim.Optimizer, config: ScheduleConfig, iterations: int
) -> Schedule | None:
    """Make the schedule of an optimiser; ``None`` where its rates never change.

    Raises:
        MtlError: if the schedule does not fit the learning rates or the number of steps.
    """
    scaled = any("lr_scale" in group for group in optimizer.param_groups)
    if config.name == "constant" and not config.warmup and not scaled:
        return None
    highest = max(group["lr"] for group in optimizer.param_groups)
    if config.warmup and config.warmup_learning_rate > highest:
        raise MtlError(
            f"training.schedule.warmup_learning_rate should be at most the learning rate, "
            f"{highest:g}, found {config.warmup_learning_rate:g}"
        )
    if config.name == "plateau":
        return _Plateau(optimizer, config)
    return _ByStep(optimizer, config, config.length or iterations)


def learning_rates(config: ScheduleConfig, rate: float, iterations: int) -> list[float]:
    """Return the learning rate of every step, as far as it is known when a run begins.

    What follows validation (``plateau``) counts as constant.

    Args:
        config: the section ``training.schedule``.
        rate: the learning rate that the schedule starts from.
        iterations: number of steps.
    """
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    schedule = make_schedule(optimizer, config, iterations)
    rates = []
    for step in range(iterations):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        if schedule is not None:
            schedule.stepped(step + 1)
    return rates


class _ByStep(Schedule):
    """It is a schedule of timm's by number of steps; an "epoch" there is a step here."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, config: ScheduleConfig, length: int
    ) -> None:
        self.length = None if config.name in ("constant", "step", "multistep") else length
        if self.length is not None and config.warmup >= length:
            raise MtlError(
                f"training.schedule.warmup should be less than the schedule's {length} steps, "
                f"found {config.warmup}"
            )
        decay = config.decay_share if config.name in ("wsd", "rsqrt") else config.decay_every
        try:
            self._schedule, _ = create_scheduler_v2(
                optimizer,
                sched=config.name,
                num_epochs=length,
                decay_epochs=decay,
                # timm decays one step before each: at 3 of 0, 1, 2, 3, ... for a milestone of 4
                decay_milestones=[step + 1 for step in config.decay_at],
                decay_rate=config.decay_rate,
                min_lr=config.min_learning_rate,
                warmup_lr=config.warmup_learning_rate,
                warmup_epochs=config.warmup,
            )
        except ValueError as error:
            reason = message_of(error)
            if config.name in ("wsd", "rsqrt"):
                reason = (
                    f"behind {config.warmup} of warm-up, a share of {config.decay_share:g} for the "
                    "decay should be at least one step; raise decay_share or the iterations"
                )
            raise MtlError(
                f"training.schedule {config.name!r} does not fit {length} steps: {reason}"
            ) from error
        self.stepped(0)

    def stepped(self, steps: int) -> None:
        self._schedule.step(steps)

    def evaluated(self, evaluation: Evaluation) -> None:
        """Do nothing: validation changes no rate here."""

    def state_dict(self) -> dict[str, Any]:
        return {"length": self.length}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state["length"] != self.length:
            raise MtlError(
                f"the schedule of the learning rate was laid out for {state['length']} steps, not "
                f"{self.length}: set training.schedule.length={state['length']} from the start "
                "where a run shall go on for longer"
            )


class _Plateau(Schedule):
    """This lowers rates where validation no longer gets better (torch's ReduceLROnPlateau).

    timm's own schedule of that name cannot be resumed.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: ScheduleConfig) -> None:
        for group in optimizer.param_groups:
            group["lr"] *= group.pop("lr_scale", 1.0)
        self._schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            factor=config.decay_rate,
            patience=config.patience,
            min_lr=config.min_learning_rate,
        )

    def stepped(self, steps: int) -> None:
        """Do nothing: only validation changes the rates."""

    def evaluated(self, evaluation: Evaluation) -> None:
        validation = evaluation.splits.get("validation")
        if validation is None:
            raise MtlError(
                "training.schedule plateau follows validation: give every task validation "
                "examples, or choose another schedule"
            )
        losses = list(validation.loss_per_task.values())
        self._schedule.step(math.fsum(losses) / len(losses))

    def state_dict(self) -> dict[str, Any]:
        return dict(self._schedule.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._schedule.load_state_dict(dict(state))
