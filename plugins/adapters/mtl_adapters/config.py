"""This module defines the options of strategy ``adapters``."""

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
    """These options of the search for an assignment matter with ``assignment: learned`` only."""

    weights_per_unit: int | None = Field(
        None,
        ge=1,
        description="number K of adapters at every unit, among which assignment: learned chooses "
        "one for each task; default: as many as there are tasks",
    )
    nes_samples: int = Field(
        4,
        ge=2,
        description="number of assignments that are drawn and ranked by their loss in "
        "every step of the search (assignment: learned)",
    )
    weight_samples: int = Field(
        1,
        ge=1,
        description="number of assignments that are drawn in every step of the weights, which "
        "averages their gradients (assignment: learned)",
    )
    nes_learning_rate: float = Field(
        1e-2,
        ge=0,
        description="learning rate of the distribution that assignments are drawn from "
        "(assignment: learned); 0 leaves it as it starts",
    )
    p_min: float = Field(
        1e-3,
        ge=0,
        lt=1,
        description="smallest probability with which an adapter is drawn for a task "
        "(assignment: learned); times weights_per_unit it is below 1",
    )


class AdaptersConfig(SearchOptions):
    """These are the options of :class:`~mtl_adapters.strategy.Adapters`."""

    kind: Kind = Field(
        "parallel",
        description="what an adapter is: parallel (a 1x1 convolution that reads the input of a "
        "layer and is added to its output), series (a batch norm and a 1x1 convolution that read "
        "the output of a layer and are added to it), low_rank (the product of two thin matrices, "
        "added to the weight of a layer: LoRA), norms (norms of its own and nothing else)",
    )
    assignment: Literal["own", "shared", "learned"] | GivenAssignment = Field(
        "own",
        description="which tasks use the same adapters of a unit: own (every task has its own), "
        "shared (all tasks use the same ones), learned (an evolution strategy chooses, as in "
        "strategy lws), or a mapping with one of pattern, matrix, from_run, shared_first, which "
        "mean what they mean in strategy fixed_sharing",
    )
    trunk: Literal["auto", "frozen", "trained"] = Field(
        "auto",
        description="whether the trunk, that is the layers which all tasks share, is trained or "
        "stays as it starts (frozen); auto: frozen where the backbone is pretrained or start_from "
        "is given, trained otherwise",
    )
    layers: Layers = Field(
        "auto",
        description="layers that get an adapter, as names of the backbone's layers or patterns of "
        "names such as layer3.*.conv1; auto: dense layers and convolutions larger than 1x1, and "
        "with kind: low_rank 1x1 convolutions, too",
    )
    norms: Literal["auto", "own", "trunk"] = Field(
        "auto",
        description="whether the norms inside units belong to adapters (own: every adapter comes "
        "with its own norms) or to the trunk (trunk: all tasks use the same norms, which keep "
        "their running averages in training where the trunk is frozen); auto: trunk with kind: "
        "low_rank, own otherwise",
    )
    rank: int = Field(
        4,
        ge=1,
        description="rank of the matrix that kind: low_rank adds to a layer's weight",
    )
    scale: float = Field(
        1.0,
        gt=0,
        description="factor that the matrix of kind: low_rank is multiplied by before it is added "
        "to a layer's weight",
    )
    start: Start = Field(
        "zero",
        description="what the 1x1 convolutions of kind: parallel and kind: series start from: zero "
        "(networks begin as the trunk) or normal (published code: random values of variance 2 / "
        "number of output channels)",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="probability with which an input of an adapter is set to zero in training; "
        "other than 0 only with kind: parallel and kind: low_rank",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="optimiser of all weights; sgd has a momentum of 0.9 (published code)"
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="learning rate of adapters, norms, heads and a trained trunk"
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="weight decay of all weights, but of adapters' matrices where adapter_decay "
        "says another; training.weight_decay comes before it",
    )
    adapter_decay: float | None = Field(
        None,
        ge=0,
        description="weight decay of the adapters' matrices, whatever that of other weights is; "
        "default: that of other weights",
    )
    start_from: str | None = Field(
        None,
        description="folder of an earlier run with the same backbone, whose trained network the "
        "trunk starts from",
    )
    start_task: str | None = Field(
        None,
        description="task of the run in start_from whose network, running averages included, "
        "becomes the trunk; default: the first task of that run, if its tasks' networks differ in "
        "norms and heads only",
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
        """Say whether every adapter has norms of its own."""
        return self.norms == "own" or (self.norms == "auto" and self.kind != "low_rank")
