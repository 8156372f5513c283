"""Routing networks have these options."""

from typing import Literal

from pydantic import Field, model_validator

from mtl_framework import InitialWeights, SharedStartConfig

_NO_REWARDS = "which has no rewards"
_NOT_WITH_GUMBEL = {
    **dict.fromkeys(
        ("reward", "advantage", "standardize", "baseline", "value_rate", "p_min"), _NO_REWARDS
    ),
    "shared_start": "whose units are mixtures from the start",
}


class RoutingConfig(InitialWeights, SharedStartConfig):
    """These are options of :class:`~mtl_routing_networks.strategy.RoutingNetworks`."""

    router: Literal["wpl", "reinforce", "gumbel"] = Field(
        "wpl",
        description="how the routers learn: wpl, the weighted policy learner (paper); reinforce, "
        "the gradient of the expected return; gumbel, that of the loss through all blocks of a "
        "unit, which all run",
    )
    weights_per_unit: int | None = Field(
        None, ge=1, description="number K of blocks of every unit; default: one a task"
    )
    paths: int = Field(
        1, ge=1, description="number of paths that a step draws for every task and averages over"
    )
    reward: Literal["correct", "loss"] = Field(
        "correct",
        description="what a path earns: correct, +1 for every right answer and -1 for every wrong "
        "one, on average over its examples (where a task's metric is no error rate, minus its "
        "loss); loss, minus the loss for all tasks",
    )
    collaboration: float = Field(
        0.1,
        ge=0,
        le=1,
        description="most that a path earns beside its reward for choosing the blocks that others "
        "choose (rho in the paper)",
    )
    collaboration_by: Literal["decisions", "probabilities"] = Field(
        "decisions",
        description="how much others choose a block: its share of the recent decisions at its "
        "unit, or its mean probability there over all tasks",
    )
    history: int = Field(
        256, ge=1, description="number of decisions at a unit that count as recent ones"
    )
    router_learning_rate: float = Field(
        0.3, ge=0, description="learning rate of the routers; 0 leaves them as they start"
    )
    advantage: Literal["value", "return"] = Field(
        "value",
        description="what moves the probabilities of router wpl: value, of every block its value "
        "less the mean value of the unit's blocks; return, of the chosen block alone what it has "
        "just brought less what was expected (published code)",
    )
    standardize: bool = Field(
        True,
        description="whether routers see returns less their running mean, divided by their running "
        "standard deviation; false: as they are (published code)",
    )
    baseline: Literal["policy", "action"] = Field(
        "policy",
        description="what a return is compared with: policy, the mean value of a unit's blocks by "
        "their probabilities; action, the value of the block that was chosen",
    )
    value_rate: float = Field(
        0.05,
        gt=0,
        le=1,
        description="weight of a new return in the running mean that is a block's value",
    )
    p_min: float = Field(
        1e-3, ge=0, lt=1, description="smallest probability of a block, so that none is lost"
    )
    temperature: float = Field(
        5.0, gt=0, description="temperature of router gumbel's soft choices at the start of the run"
    )
    last_temperature: float = Field(
        0.1, gt=0, description="temperature of router gumbel's soft choices when the run ends"
    )
    delay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the run, at its start, in which blocks are chosen at random and the "
        "routers do not learn",
    )
    settle: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="share of the run, at its end, in which the most probable paths alone are "
        "trained; 0: paths are drawn to the end (paper)",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="optimiser of blocks and heads; sgd has no momentum (published code)"
    )
    learning_rate: float = Field(1e-3, gt=0, description="learning rate of blocks and heads")

    @model_validator(mode="after")
    def _suits_the_router(self) -> "RoutingConfig":
        if self.router == "gumbel":
            for name, why in _NOT_WITH_GUMBEL.items():
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"should leave out {name} with router 'gumbel', {why}: "
                        f"found {getattr(self, name)!r}"
                    )
        return self

    @model_validator(mode="after")
    def _compares_returns(self) -> "RoutingConfig":
        if (self.router, self.advantage, self.baseline) == ("wpl", "value", "action"):
            raise ValueError(
                "should have advantage 'return' with baseline 'action', as values are compared "
                "with the mean of the unit's"
            )
        return self

    @model_validator(mode="after")
    def _leaves_time(self) -> "RoutingConfig":
        end = 1 - self.settle
        if self.shared_start and self.shared_start >= end:
            raise ValueError(
                f"should have shared_start below 1 - settle = {end:g}, as routers learn between "
                f"the two; found {self.shared_start}"
            )
        return self
