"""Pseudo-task augmentation has these options; the defaults are the paper's values."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mtl_framework import GivenAssignment, InitialWeights

LETTERS = "IFPDHG"
COMBINATIONS = ("I", "F", "P", "D", "FP", "GP", "GD", "HGD")


def _check_variant(value: object) -> object:
    if not isinstance(value, str) or not value or set(value) - set(LETTERS):
        raise ValueError(
            f"should be letters of {LETTERS}, the paper's combinations being "
            f"{', '.join(COMBINATIONS)}"
        )
    twice = [letter for letter in LETTERS if value.count(letter) > 1]
    if twice:
        raise ValueError(f"should name every letter once ({twice[0]} occurs twice)")
    return value


def _unquoted_no(value: object) -> object:
    """Turn false back into ``no``, as YAML reads a bare ``no`` as false."""
    return "no" if value is False else value


class PtaConfig(InitialWeights):
    """These are options of :class:`~mtl_pta.strategy.PseudoTaskAugmentation`."""

    variant: Annotated[str, BeforeValidator(_check_variant)] = Field(
        "F",
        description="controls of the decoders, any of these letters: I (decoders start "
        "independently, always so), F (all but the first are frozen), P (perturb), "
        "D (independent dropout), H (perturb dropout rates), G (greedy)",
    )
    decoders: int = Field(4, ge=1, description="number D of decoders of every task")
    sharing: Annotated[Literal["full", "no"] | GivenAssignment, BeforeValidator(_unquoted_no)] = (
        Field(
            "full",
            description="which tasks share the units below the decoders: full, no, or one of "
            "pattern, matrix, from_run, shared_first, which are options of "
            "fixed_sharing",
        )
    )
    meta_iteration: Annotated[int, Field(ge=1)] | Literal["epoch"] = Field(
        250,
        description="number M of steps between two updates of the decoders; epoch: as many as "
        "the largest task has batches",
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout rate in front of every decoder at the start"
    )
    perturbation: float = Field(
        0.01, ge=0, description="size epsilon_p of the noise on weights of decoders; see noise"
    )
    rate_perturbation: float = Field(
        0.1, ge=0, description="size epsilon_h of the noise on dropout rates; see noise"
    )
    noise: Literal["variance", "deviation"] = Field(
        "variance",
        description="what both epsilons are: a variance, as the paper's N(0, epsilon I) says, or a "
        "standard deviation",
    )
    dropout_range: tuple[float, float] = Field(
        (0.2, 0.8), description="smallest and largest dropout rate that perturbing may lead to"
    )
    cost: Literal["error", "loss"] = Field(
        "error",
        description="measure by which decoders are judged on validation examples: error, the "
        "task's metric (the paper's example), or its loss",
    )
    moments: Literal["keep", "copy", "reset"] = Field(
        "keep",
        description="what happens to the optimiser's moments of decoders that an update has "
        "changed (the paper says nothing): kept, copied along with the weights "
        "(those that were only perturbed keep theirs), or begun anew",
    )
    prediction: Literal["best", "ensemble"] = Field(
        "best",
        description="outputs of a task: best, those of its decoder with the least validation "
        "cost (equation 5); ensemble, the mean over all decoders (equation 6)",
    )
    optimizer: Literal["adam", "rmsprop"] = Field("adam", description="optimiser of all weights")
    learning_rate: float = Field(1e-3, gt=0, description="the optimiser's learning rate")
    weight_decay: float = Field(0.0, ge=0, description="the optimiser's weight decay")
    course_of: str | None = Field(
        None,
        description="task whose decoders' course through their weights is kept for the report's "
        "figure; default: the first",
    )

    @model_validator(mode="after")
    def _rates_fit(self) -> "PtaConfig":
        low, high = self.dropout_range
        if not 0 <= low <= high < 1:
            raise ValueError(
                f"should have a dropout_range with 0 <= low <= high < 1, found [{low}, {high}]"
            )
        if "H" in self.variant and not low <= self.dropout <= high:
            raise ValueError(
                f"should have dropout within dropout_range, [{low}, {high}], where rates are "
                f"perturbed (H), found {self.dropout}"
            )
        return self

    def has(self, letter: str) -> bool:
        """Say whether a control is in use."""
        return letter in self.variant

    def deviation(self, epsilon: float) -> float:
        """Return the standard deviation of the noise that an epsilon stands for."""
        return epsilon**0.5 if self.noise == "variance" else float(epsilon)
