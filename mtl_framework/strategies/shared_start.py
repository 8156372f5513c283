"""All tasks share everything at first, and go on with weights that are copies of the shared ones.

A bank of K weights that start at random learns at a K-th of the speed for as long as it is open
which task uses which of them, and tasks that part from the start see nothing of each other's
examples. Copies of one shared network have learned from all examples, and choosing another copy
costs a task nothing at first (own; a split that copies is that of Lu et al., "Fully-Adaptive
Feature Sharing", CVPR 2017).
"""

from collections.abc import Mapping
from typing import Any, Literal

from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from ..networks.task_networks import TaskNetworks
from .context import TrainingRun
from .copies import copy_weight, forget_moments
from .recipe_optimizer import RecipeOptimizer
from .strategy import StrategyConfig


class SharedStartConfig(StrategyConfig):
    """This is the option of a strategy whose tasks may share everything at first."""

    shared_start: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the run, at its start, in which all tasks share the first weight of "
        "every unit; then every other weight becomes a copy of it, and the strategy's own training "
        "begins",
    )

    shared_start_moments: Literal["copy", "new"] = Field(
        "new",
        description="the optimiser's moments of weights that part: copies of those of the shared "
        "weight, whose gradients were of all tasks, or new ones",
    )

    @classmethod
    def options_before(cls, saved: Mapping[str, Any]) -> Mapping[str, Any]:
        """Until 27 November 2026 weights that parted took moments along."""
        before = super().options_before(saved)
        return {**before, "shared_start_moments": "copy"} if saved.get("shared_start") else before

    def make_shared_start(self) -> "SharedStart | None":
        """Return what :meth:`Strategy.build` keeps; ``None`` if nothing is shared at first."""
        if not self.shared_start:
            return None
        return SharedStart(self.shared_start, self.shared_start_moments == "new")


class SharedStart:
    """At its end every weight of a unit becomes a copy of the first; no output changes.

    The copies have the running averages and the optimiser's moments of the first weight; with
    ``new_moments`` the optimiser begins anew (:func:`forget_moments`). A strategy asks in every
    iteration whether :meth:`is_on`, and if so does its step with weight 0 everywhere.

    Args:
        share: share of the run's iterations in which everything is shared, above 0 and below 1.
        new_moments: whether all weights of all units lose their moments when they part.

    Attributes:
        over: whether the weights have parted; once they have, they stay so in a longer run.
    """

    def __init__(self, share: float, new_moments: bool = False) -> None:
        self.share, self.new_moments = share, new_moments
        self.over = False

    def is_on(
        self,
        run: TrainingRun,
        networks: TaskNetworks,
        optimizer: RecipeOptimizer,
        afterwards: Int64[Tensor, "units tasks"],
    ) -> bool:
        """Say whether everything is shared in this iteration; part the tasks when it is time.

        Args:
            run: the run, whose iterations are counted.
            networks: networks of all tasks.
            optimizer: the optimiser of their weights.
            afterwards: the assignment that comes into force when the copies are made.
        """
        if not self.over and run.iteration >= self.share * run.iterations:
            for unit, weights in enumerate(networks.weights_per_unit):
                for weight in range(1, weights):
                    copy_weight(networks, optimizer, unit, 0, weight)
                if self.new_moments:
                    forget_moments(networks, optimizer, unit)
            optimizer.restart_average()
            networks.assignment.copy_(afterwards)
            self.over = True
        return not self.over

    def state_dict(self) -> dict[str, Any]:
        """Return whether the weights have parted."""
        return {"over": self.over}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.over = bool(state["over"])
