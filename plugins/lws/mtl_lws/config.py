"""Learned weight sharing has the paper's options, and options beyond it.

Where a default is not the paper's value, the description names that one; ``preset: paper`` has all
of them. The defaults did better on two suites of docs/results.md, and as well on a third.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mtl_framework import InitialWeights, SharedStartConfig

from .beyond.credit import Credit
from .beyond.hardening import Schedule
from .beyond.sampling import Sampling
from .presets import BEYOND_OFF
from .start import Start, check_room

_RANKS = "which ranks no samples"
_FITS_ONE_ESTIMATOR = {
    "nes": dict.fromkeys(("temperature", "last_temperature"), "which has no soft choices"),
    "gumbel": {
        "credit": "where each choice gets the gradient of its own task's loss at its own unit",
        "ranked_on": _RANKS,
        "ties": _RANKS,
    },
}


class PaperOptions(InitialWeights):
    """These options settle what Algorithm 1 leaves open, or the published code does otherwise."""

    weights_per_unit: int | None = Field(
        None, ge=1, description="number K of alternative weights of every unit; default: one a task"
    )
    nes_samples: int = Field(
        8, description="number of assignments that a search step ranks, at least 2"
    )
    weight_samples: int = Field(
        1,
        ge=1,
        description="number of assignments whose gradients a weight step averages; 8 (paper)",
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="Adam's learning rate, of weights and heads"
    )
    epsilon: float = Field(
        1e-8,
        gt=0,
        description="Adam's epsilon; larger, e.g. 1e-4, where the loss is tiny and suddenly jumps",
    )
    nes_learning_rate: float = Field(
        0.1,
        ge=0,
        description="learning rate of the search distribution; 0.01 (paper), 0 leaves it as it "
        "starts",
    )
    p_min: float = Field(
        1e-3,
        ge=0,
        lt=1,
        description="smallest probability of a choice: probabilities are raised to it, then "
        "normalised",
    )
    initial_distribution: Start = Field(
        "uniform",
        description="probabilities that the search starts from (prior knowledge): uniform, "
        "(tasks x weights) for every unit alike, or (units x tasks x weights)",
    )
    gradient_scaling: Literal["paper", "usage"] = Field(
        "paper",
        description="how the gradient of a weight is scaled; paper: it is that of the mean "
        "loss; usage (published code): it is divided by the weight's expected share "
        "of the tasks",
    )
    ties: Literal["mean", "first"] = Field(
        "mean",
        description="ranks of samples with equal losses: the mean of their ranks, or first: in "
        "the order in which they were drawn",
    )
    unused_weights: Literal["skip", "momentum"] = Field(
        "skip",
        description="what happens to weights that no sample of a step uses: they are left alone "
        "(skip), or moved on by Adam's momentum (published code, PyTorch 1.3)",
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
    def _leaves_room(self) -> "PaperOptions":
        if self.weights_per_unit is not None:
            check_room(self.weights_per_unit, self.p_min)
        return self


class LwsConfig(PaperOptions, SharedStartConfig):
    """These are options of :class:`~mtl_lws.strategy.LearnedWeightSharing`."""

    @classmethod
    def options_before(cls, saved: Mapping[str, Any]) -> Mapping[str, Any]:
        """Until 27 November 2026 the defaults were the paper's."""
        return {**super().options_before(saved), **BEYOND_OFF}

    estimator: Literal["nes", "gumbel"] = Field(
        "nes",
        description="how the search distribution learns: nes, from the ranks of its samples "
        "(paper); gumbel, by Adam from gradients through a Gumbel-softmax whose drawn weights "
        "alone run, nes_samples draws a step",
    )
    temperature: float = Field(
        5.0, gt=0, description="temperature of estimator gumbel's soft choices at the start"
    )
    last_temperature: float = Field(
        0.1,
        gt=0,
        description="temperature of estimator gumbel's soft choices when the search ends",
    )
    credit: Credit = Field(
        "task",
        description="loss that ranks the samples: joint, the mean over tasks (paper); task, for "
        "each task's own choices that task's loss; unit, that task's loss in "
        "samples that differ at one unit only, another one each step",
    )
    ranked_on: Literal["search_step", "weight_step"] = Field(
        "search_step",
        description="losses that rank samples: search_step, those of nes_samples assignments "
        "evaluated on a batch of its own (paper); weight_step, those of the weight_samples "
        "assignments that the weights are trained with, which needs no further pass",
    )
    search_data: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share of every task's training examples that the weights never see and the "
        "samples are ranked on; 0 ranks on training batches (paper); default: 0.25, or 0 with "
        "ranked_on weight_step, where a task reads streams, and where a task has fewer "
        "than 400 training examples",
    )
    fold_back: float = Field(
        0.25,
        ge=0,
        le=1,
        description="share of the run, at its end, in which search_data is trained on again",
    )
    price: float = Field(
        0.0,
        ge=0,
        description="price of parameters: it is multiplied by the size of the weights in use, "
        "where a fully shared network has size 1, and added to the loss that ranks "
        "the samples",
    )
    nes_schedule: Schedule = Field(
        "rise",
        description="course of nes_learning_rate over the run: constant (paper), rise from 0 to "
        "twice its value, or fall from twice its value to 0",
    )
    freeze_after: float = Field(
        0.75,
        gt=0,
        le=1,
        description="share of the run after which the search ends and the most probable "
        "assignment alone is trained on; 1: never (paper)",
    )
    sampling: Sampling = Field(
        "independent",
        description="how a step's assignments are drawn: independent (paper); stratified, each "
        "weight in its share of the samples; nested, early units with few different draws and "
        "late ones with many, which costs less",
    )
    shared_start: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of the run, at its start, in which all tasks share the first weight of "
        "every unit; then every other weight becomes a copy of it, and the search begins; 0: never "
        "(paper)",
    )
    prior: Literal["none", "shared", "own", "conflict", "affinity"] = Field(
        "none",
        description="what the search starts from: none, the initial distribution as it is; "
        "shared, leaning towards one weight for all tasks; own, each task towards a weight of its "
        "own (the t-th task of K weights towards weight t mod K); conflict, leaning towards groups "
        "of tasks whose gradients agree, unit by unit, in a short run with everything shared; "
        "affinity, leaning in all units towards groups of tasks that find the same examples hard "
        "in such a run, which needs common inputs",
    )
    prior_iterations: int = Field(
        50, ge=1, description="iterations of the run that measures the prior, before the first one"
    )
    prior_strength: float = Field(
        0.5, gt=0, lt=1, description="how far the prior moves the start, from 0 to 1"
    )

    @model_validator(mode="after")
    def _suits_the_estimator(self) -> "LwsConfig":
        for name, why in _FITS_ONE_ESTIMATOR[self.estimator].items():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"should leave out {name} with estimator '{self.estimator}', {why}: found "
                    f"{getattr(self, name)!r}"
                )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> "LwsConfig":
        if self.credit == "unit" and self.sampling == "nested":
            raise ValueError(
                "should not have sampling 'nested' with credit 'unit', whose samples agree in all "
                "units but one anyway: take 'independent' or 'stratified'"
            )
        if self.ranked_on == "weight_step" and self.weight_samples < 2:
            raise ValueError(
                "should have weight_samples of at least 2 with ranked_on 'weight_step', which "
                f"ranks them; found {self.weight_samples}"
            )
        if self.ranked_on == "weight_step" and self.search_data:
            raise ValueError(
                "should have ranked_on 'search_step' with search_data, which weights never see"
            )
        if self.freeze_after <= self.shared_start:
            raise ValueError(
                f"should have freeze_after above shared_start = {self.shared_start}, as the search "
                f"happens between the two; found {self.freeze_after}"
            )
        return self
