"""Modular universal reparameterization has these options; the defaults follow the paper."""

from typing import Literal

from pydantic import Field, model_validator

from mtl_framework import StrategyConfig

from .method.weights import Indivisible
from .search.evolution import Sampling


class MuirConfig(StrategyConfig):
    """These are options of :class:`~mtl_muir.strategy.Muir`; the defaults follow the paper."""

    context_size: int = Field(
        4,
        ge=0,
        description="number c of entries of a location's context; 0: locations of one module "
        "have equal blocks",
    )
    block_out: int = Field(16, ge=1, description="number m of outputs of a block")
    block_in: int = Field(16, ge=1, description="number n of inputs of a block")
    indivisible: Indivisible = Field(
        "error",
        description="what happens to weights that blocks do not divide: they are refused "
        "(error), covered by blocks whose overhang is discarded, or left ordinary",
    )
    layers: tuple[str, ...] | None = Field(
        None,
        description="layers, by name or glob, whose weights are generated; default: all dense, "
        "convolution and LSTM layers but each network's first and last",
    )
    initialization: Literal["he_normal", "library"] = Field(
        "he_normal",
        description="start of generated weights: he_normal, N(0, 2 / inputs), for an LSTM N(0, "
        "1 / H); library, exactly those that the network was made with",
    )
    module_variance: Literal["2/c", "1/c"] = Field(
        "2/c",
        description="variance of a hypermodule's entries at the start: 2/c, He's rule (paper), "
        "or 1/c, as published code has it",
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="Adam's learning rate, of everything but the soft weights"
    )
    soft_learning_rate: float = Field(
        0.1, gt=0, description="Adam's learning rate, of the soft weights that weigh candidates"
    )
    steps_per_generation: int = Field(
        1000, ge=1, description="number of training steps of a generation"
    )
    decomposition: Literal["location", "task", "all"] = Field(
        "location",
        description="what one mapping of modules covers, and so the number D of mappings that "
        "are searched side by side: a location (D = L), a task (D = T), or all (D = "
        "1)",
    )
    alternatives: int = Field(
        1, ge=1, description="number lambda of challengers that a challenged location gets"
    )
    challenged: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the locations, tasks or wholes (see decomposition) that get "
        "challengers in a generation",
    )
    sampling: Sampling = Field(
        "proportional",
        description="how challengers are drawn: proportional, in proportion to the use of "
        "modules; uniform, every module alike",
    )
    reactivation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability that a challenger is an idle module, which is drawn anew",
    )
    alpha: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="probability that the challengers of a location start with together; "
        "default: every candidate starts with the same",
    )
    challenger_contexts: Literal["shared", "fitted"] = Field(
        "shared",
        description="context that a challenger generates from: shared, its location's as it is "
        "(equation 8); fitted, one of its own whose block points the way of the "
        "incumbent's (not in the paper)",
    )
    burn_in: int = Field(0, ge=0, description="number of generations before the first challengers")
    selection: Literal["best", "random", "oracle"] = Field(
        "best",
        description="candidate that survives a generation: best, the most probable one; random, "
        "any; oracle, there is no search and modules are shared within each of "
        "oracle_groups",
    )
    oracle_groups: tuple[int, ...] | None = Field(
        None,
        description="groups of tasks for selection=oracle, a number a task: tasks of one group "
        "share all their modules, block by block",
    )
    idle_modules: Literal["still", "momentum"] = Field(
        "still",
        description="what happens to modules that no location uses: they are left alone "
        "(still), or moved on by Adam's momentum",
    )
    refine: Literal["before_evaluation", "after_evaluation"] = Field(
        "before_evaluation",
        description="whether the evaluation at a generation's end sees the survivors alone or all "
        "candidates merged",
    )
    search_generations: int | None = Field(
        None,
        ge=0,
        description="number of generations that have challengers; what follows trains the "
        "mapping that is there then; default: all",
    )
    save_best: bool = Field(
        False,
        description="whether the networks go back to the generation that validation prefers "
        "when the search ends",
    )
    best_by: str = Field(
        "relative",
        description="figure by which validation prefers a generation: the smallest mean over "
        "tasks of loss / first loss (relative), of the losses (mean), or the loss "
        "of the task that is named",
    )

    @model_validator(mode="after")
    def _fits(self) -> "MuirConfig":
        if (self.selection == "oracle") != (self.oracle_groups is not None):
            found = "none" if self.oracle_groups is None else "some"
            raise ValueError(
                f"should have oracle_groups exactly with selection=oracle, found {found} with "
                f"selection={self.selection}"
            )
        if self.challenger_contexts == "fitted" and self.context_size == 0:
            raise ValueError("should have challenger_contexts=shared with context_size=0")
        if self.reactivation and self.sampling == "uniform":
            raise ValueError(
                "should have reactivation=0 with sampling=uniform, which draws idle modules anyway"
            )
        if self.save_best and self.search_generations is None:
            raise ValueError("should have search_generations with save_best: when to go back")
        return self
