"""Strategies of columns that mix have these options."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mtl_framework import InitialWeights, SharedStartConfig


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) and value not in ("stage", "block") else value


Positions = Annotated[
    Literal["stage", "block"] | Annotated[tuple[str, ...], Field(min_length=1)],
    BeforeValidator(_listed),
]


class ColumnConfig(InitialWeights, SharedStartConfig):
    """These are options of every :class:`~mtl_soft_sharing.strategy.ColumnStrategy`."""

    after: Positions = Field(
        "stage",
        description="units behind which columns are mixed: stage (the last unit of each stage), "
        "block (every unit), or units by name or glob",
    )
    reads: Literal["own", "first"] = Field(
        "own",
        description="column whose end a task's head reads: own (papers), or first, for all tasks: "
        "full sharing of a network as wide and as deep up to the last mixture, which tells what "
        "columns of one's own add; not with start_from",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="optimiser of all weights; sgd has momentum and is the papers'"
    )
    learning_rate: float = Field(1e-3, gt=0, description="learning rate of the columns and heads")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="momentum of sgd; the papers do not tell their own"
    )
    mixing_rate: float | None = Field(
        None,
        ge=0,
        description="learning rate of what mixes columns, as a multiple of learning_rate; default: "
        "100 with sgd (cross-stitch networks: 100 to 1000, NDDR: 100), 10 with adam, whose steps "
        "are as long as the rate",
    )
    loss_weights: dict[str, float] | None = Field(
        None, description="weights of the tasks' losses, by task; 1 for those left out"
    )
    start_from: str | dict[str, str] | None = Field(
        None,
        description="folder of a run whose networks the columns start from, or one a task by name",
    )
    shared_start: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the run, at its start, in which all columns are copies of one, which "
        "moves along the sum of their gradients, and what mixes them stays as it starts; not with "
        "start_from",
    )

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.shared_start and self.start_from is not None:
            raise ValueError("should have shared_start = 0 where start_from names networks")
        if self.reads == "first" and self.start_from is not None:
            raise ValueError(
                "should have reads = own where start_from names networks, whose heads know their "
                "own columns"
            )
        return self


class CrossStitchConfig(ColumnConfig):
    """These are options of :class:`~mtl_soft_sharing.strategy.CrossStitch`."""

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


class NddrConfig(ColumnConfig):
    """These are options of :class:`~mtl_soft_sharing.nddr.Nddr`."""

    own_weight: float = Field(
        0.9,
        ge=0,
        le=1,
        description="weight of a column's own channel at the start; the rest is shared out evenly "
        "among the same channel of the others, and all other weights start at 0",
    )
    norm: bool = Field(True, description="whether a batch norm follows every mixture")
    activation: Literal["relu", "none"] = Field(
        "relu",
        description="what follows the norm: relu is the paper's; none suits units whose outputs "
        "are not rectified, such as blocks of ViT and ConvNeXt",
    )


class SluiceConfig(ColumnConfig):
    """These are options of :class:`~mtl_soft_sharing.sluice.Sluice`."""

    subspaces: int = Field(
        2,
        ge=1,
        description="number of groups of consecutive channels that every column's activations are "
        "cut into, which are mixed one by one",
    )
    own_weight: float | Literal["balanced"] = Field(
        0.9,
        description="weight of a subspace for itself at the start, from 0 to 1; the rest is shared "
        "out evenly among all others of all columns; balanced: all weights are equal",
    )
    last_weight: float | Literal["balanced"] = Field(
        0.9,
        description="weight of the last unit in the mixture of units at the start, from 0 to 1; "
        "the rest is shared out evenly among the others; balanced: all weights are equal",
    )
    penalty: float = Field(
        0.1,
        ge=0,
        description="weight of the penalty on what two subspaces of one column read in common, in "
        "all mixed units with a convolution or linear layer that makes their channels; 0: none",
    )
    mixing_rate: float | None = Field(
        1.0,
        ge=0,
        description="learning rate of what mixes columns and units, as a multiple of "
        "learning_rate; the published code has one rate for all",
    )

    @field_validator("own_weight", "last_weight")
    @classmethod
    def _check_share(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and not 0 <= value <= 1:
            raise ValueError("should be from 0 to 1, or balanced")
        return value
