"""Options of learned weight sharing; the defaults are the paper's values."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mtl_framework import InitialWeights

from .distribution import Ties

Matrix = list[list[float]]


class LwsConfig(InitialWeights):
    """Options of :class:`~mtl_lws.strategy.LearnedWeightSharing`."""

    weights_per_unit: int | None = Field(
        None, ge=1, description="K, alternative weights of every unit; default: one a task"
    )
    nes_samples: int = Field(8, description="assignments a search step, at least 2")
    weight_samples: int = Field(8, ge=1, description="assignments a weight step")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam, for the weights")
    epsilon: float = Field(
        1e-8,
        gt=0,
        description="of Adam; larger, e.g. 1e-4, where the loss is tiny and suddenly jumps",
    )
    nes_learning_rate: float = Field(
        1e-2, ge=0, description="of the search distribution; 0 leaves it as it starts"
    )
    p_min: float = Field(
        1e-3, ge=0, lt=1, description="probabilities are clamped to this, then renormalised"
    )
    initial_distribution: Literal["uniform"] | Matrix | list[Matrix] = Field(
        "uniform",
        description="prior knowledge: probabilities (tasks x weights) for every unit, or (units x "
        "tasks x weights)",
    )
    gradient_scaling: Literal["paper", "usage"] = Field(
        "paper",
        description="paper: the gradient of the mean loss; usage (published code): a weight's "
        "gradient is divided by its expected share of the tasks",
    )
    credit: Literal["joint", "task"] = Field(
        "joint",
        description="what ranks the samples: the mean loss over tasks (paper), or for each task's "
        "own choices that task's loss",
    )
    ties: Ties = Field("mean", description="ranks of equal losses: their mean, or as sampled")
    unused_weights: Literal["skip", "momentum"] = Field(
        "skip",
        description="weights that no sample of a step uses: left alone, or moved on by Adam's "
        "momentum (published code, PyTorch 1.3)",
    )

    @field_validator("nes_samples")
    @classmethod
    def _can_be_ranked(cls, value: int) -> int:
        if value < 2:
            raise ValueError(
                "should be at least 2: the utilities of a single sample divide by zero"
            )
        return value

    @model_validator(mode="after")
    def _leaves_room(self) -> "LwsConfig":
        if self.weights_per_unit is not None:
            check_room(self.weights_per_unit, self.p_min)
        return self


def check_room(weights: int, p_min: float) -> None:
    """Refuse a lowest probability that the weights of a unit cannot all have.

    Raises:
        ValueError: if ``weights * p_min`` is not below one.
    """
    if weights * p_min >= 1:
        raise ValueError(
            f"should have p_min below 1 / weights_per_unit = {1 / weights:.4g}, found {p_min}"
        )
