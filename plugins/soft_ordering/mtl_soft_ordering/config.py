"""Soft layer ordering has these options."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mtl_framework import InitialWeights


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) and value not in ("largest", "every") else value


Core = Annotated[
    Literal["largest", "every"] | Annotated[tuple[str, ...], Field(min_length=1)],
    BeforeValidator(_listed),
]


class SoftOrderingConfig(InitialWeights):
    """These are options of :class:`~mtl_soft_ordering.strategy.SoftOrdering`."""

    core: Core = Field(
        "largest",
        description="units whose layers every task orders: largest (the longest row of units with "
        "weights of equal shapes), every (each such row by itself), or units by name or glob",
    )
    order: Literal["soft", "parallel", "permuted"] = Field(
        "soft",
        description="what decides which layer comes when: soft (shares that are trained), or a "
        "fixed order to compare with: parallel (as the units stand, for all tasks) or permuted "
        "(another for each task, drawn at random)",
    )
    others: Literal["shared", "own"] = Field(
        "shared",
        description="units outside the core: shared by all tasks, or each task's own",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate")
    order_rate: float = Field(
        1.0,
        ge=0,
        description="learning rate of the orders, as a multiple of learning_rate; 0 leaves them as "
        "they start; without effect where order is fixed",
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="weight decay of all weights but the orders, which it would pull towards "
        "equal shares",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the values that are left out behind every layer of the core in "
        "training, drawn for every layer and depth",
    )
    batched: bool = Field(
        True,
        description="run all layers of a depth in one call; false: one after the other, for "
        "layers with operations that torch.vmap cannot batch",
    )
