"""Cross-stitch networks have these options."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mtl_framework import InitialWeights


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) and value not in ("stage", "block") else value


Positions = Annotated[
    Literal["stage", "block"] | Annotated[tuple[str, ...], Field(min_length=1)],
    BeforeValidator(_listed),
]


class CrossStitchConfig(InitialWeights):
    """Options of :class:`~mtl_soft_sharing.strategy.CrossStitch`."""

    after: Positions = Field(
        "stage",
        description="units behind which columns are mixed: stage (the last unit of each stage), "
        "block (every unit), or units by name or glob",
    )
    mixing: Literal["scalar", "channel"] = Field(
        "scalar",
        description="number of mixing weights: one a pair of columns (scalar), or one a pair "
        "and channel",
    )
    own_weight: float = Field(
        0.9,
        ge=0,
        le=1,
        description="weight of a column for itself at the start; the rest is shared out evenly "
        "among the others",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="optimiser of all weights; sgd has momentum and is the paper's"
    )
    learning_rate: float = Field(1e-3, gt=0, description="learning rate of the columns and heads")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="momentum of sgd; the paper does not tell its own"
    )
    mixing_rate: float | None = Field(
        None,
        ge=0,
        description="learning rate of the mixing weights, as a multiple of learning_rate; default: "
        "100 with sgd (the paper: 100 to 1000), 10 with adam, whose steps are as long as the rate",
    )
    loss_weights: dict[str, float] | None = Field(
        None, description="weights of the tasks' losses, by task; 1 for those left out"
    )
    start_from: str | dict[str, str] | None = Field(
        None,
        description="folder of a run whose networks the columns start from, or one a task by name",
    )
