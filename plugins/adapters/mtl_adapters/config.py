"""Adapters have these options."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mtl_framework import GivenAssignment, InitialWeights

from .layers import Kind, Start


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) and value != "auto" else value


Layers = Annotated[
    Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)], BeforeValidator(_listed)
]


class SearchOptions(InitialWeights):
    """Options of the search for an assignment, which matter with ``assignment: learned``."""

    weights_per_unit: int | None = Field(
        None,
        ge=1,
        description="number K of adapters of every unit that the search of assignment: learned "
        "chooses among; default: one a task",
    )
    nes_samples: int = Field(
        4, ge=2, description="number of assignments that a step of the search ranks"
    )
    weight_samples: int = Field(
        1,
        ge=1,
        description="number of assignments whose gradients a step of the weights averages, while "
        "the assignment is learned",
    )
    nes_learning_rate: float = Field(
        1e-2, ge=0, description="learning rate of the search distribution"
    )
    p_min: float = Field(
        1e-3, ge=0, lt=1, description="smallest probability of a choice of the search"
    )


class AdaptersConfig(SearchOptions):
    """Options of :class:`~mtl_adapters.strategy.Adapters`."""

    kind: Kind = Field(
        "parallel",
        description="what stands beside the trunk's layers: parallel (a 1x1 convolution of the "
        "same input), series (one behind it), low_rank (a pair of thin matrices, LoRA), norms "
        "(nothing but norms)",
    )
    assignment: Literal["own", "shared", "learned"] | GivenAssignment = Field(
        "own",
        description="which tasks have a unit's adapters in common: own (each its own), shared (one "
        "for all), learned (by evolution strategy, as in lws), or one of pattern, matrix, "
        "from_run, shared_first, which are options of fixed_sharing",
    )
    trunk: Literal["auto", "frozen", "trained"] = Field(
        "auto",
        description="whether the layers that tasks have in common learn; auto: frozen where they "
        "are pretrained or start_from is given, trained otherwise",
    )
    layers: Layers = Field(
        "auto",
        description="layers of the units that get an adapter, by name or glob of the backbone's "
        "own names; auto: dense layers and convolutions larger than 1x1, with low_rank all of them",
    )
    norms: Literal["auto", "own", "trunk"] = Field(
        "auto",
        description="norms of the units: own (with each adapter its own), trunk (those of the "
        "trunk, which predict with its running averages also in training where it is frozen); "
        "auto: trunk with low_rank, own otherwise",
    )
    rank: int = Field(4, ge=1, description="rank of the pairs of low_rank")
    scale: float = Field(1.0, gt=0, description="factor of the product of a pair of low_rank")
    start: Start = Field(
        "zero",
        description="1x1 convolutions at the start: zero, so that networks begin as the trunk, or "
        "normal (published code), with variance 2 / outputs",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the inputs of parallel and low_rank adapters that are left out in "
        "training",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="optimiser of all weights; sgd has a momentum of 0.9 (published code)"
    )
    learning_rate: float = Field(1e-3, gt=0, description="learning rate of all weights")
    weight_decay: float = Field(
        0.0, ge=0, description="weight decay of everything but adapters' matrices"
    )
    adapter_decay: float = Field(0.0, ge=0, description="weight decay of adapters' matrices")
    start_from: str | None = Field(
        None, description="folder of a run that the trunk is taken from, on this backbone"
    )
    start_task: str | None = Field(
        None,
        description="task of the run in start_from whose network becomes the trunk, with its "
        "running averages; default: its first, where all are alike but for norms and heads",
    )

    @model_validator(mode="after")
    def _fits(self) -> "AdaptersConfig":
        if self.kind == "norms" and self.norms == "trunk":
            raise ValueError("kind: norms should have norms: own, found trunk: nothing would learn")
        if self.start_task is not None and self.start_from is None:
            raise ValueError("start_task should come with start_from, found start_task alone")
        if self.dropout and self.kind in ("series", "norms"):
            raise ValueError(f"dropout should be 0 with kind: {self.kind}, found {self.dropout}")
        if self.assignment != "learned" and self.weights_per_unit is not None:
            raise ValueError(
                "weights_per_unit should be left out unless assignment: learned, found "
                f"{self.weights_per_unit}"
            )
        return self

    @property
    def own_norms(self) -> bool:
        """Whether every adapter has norms of its own."""
        return self.norms == "own" or (self.norms == "auto" and self.kind != "low_rank")
