"""Options of modular universal reparameterization."""

from typing import Literal

from pydantic import Field, model_validator

from mtl_framework import StrategyConfig

from .method.weights import Indivisible
from .search.evolution import Sampling


class MuirConfig(StrategyConfig):
    """Options of :class:`~mtl_muir.strategy.Muir`; the defaults follow the paper."""

    context_size: int = Field(
        4, ge=0, description="c, numbers in a context; 0: locations of one module have equal blocks"
    )
    block_out: int = Field(16, ge=1, description="m, outputs of a block")
    block_in: int = Field(16, ge=1, description="n, inputs of a block")
    indivisible: Indivisible = Field(
        "error",
        description="weights that blocks do not divide: refused, covered by blocks whose overhang "
        "is discarded, or left ordinary",
    )
    layers: tuple[str, ...] | None = Field(
        None,
        description="layers, by name or glob, whose weights are generated; default: all dense, "
        "convolution and LSTM layers but each network's first and last",
    )
    initialization: Literal["he_normal", "library"] = Field(
        "he_normal",
        description="of generated weights: N(0, 2 / inputs), for an LSTM N(0, 1 / H); or exactly "
        "those that the network was made with",
    )
    module_variance: Literal["2/c", "1/c"] = Field(
        "2/c", description="of a hypermodule's entries: He's rule (paper), or as published code has"
    )
    learning_rate: float = Field(1e-3, gt=0, description="of Adam, for all but the soft weights")
    soft_learning_rate: float = Field(0.1, gt=0, description="of Adam, for the soft weights")
    steps_per_generation: int = Field(1000, ge=1, description="training steps of a generation")
    decomposition: Literal["location", "task", "all"] = Field(
        "location",
        description="D, how many mappings are searched side by side: L (one a location), T or 1",
    )
    alternatives: int = Field(1, ge=1, description="lambda, challengers of an incumbent")
    challenged: float = Field(
        1.0, gt=0, le=1, description="share of the locations (tasks) that get challengers"
    )
    sampling: Sampling = Field(
        "proportional",
        description="challengers: modules in proportion to their use, or uniformly any",
    )
    reactivation: float = Field(
        0.0, ge=0, le=1, description="probability of an idle module, drawn anew, as a challenger"
    )
    alpha: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="probability that challengers together start with; default: each candidate "
        "starts alike",
    )
    challenger_contexts: Literal["shared", "fitted"] = Field(
        "shared",
        description="a challenger generates from its location's context as it is (equation 8), or "
        "from one of its own whose block points the way of the incumbent's (not in the paper)",
    )
    burn_in: int = Field(0, ge=0, description="generations before the first challengers")
    selection: Literal["best", "random", "oracle"] = Field(
        "best",
        description="what survives a generation: the most probable candidate, any; or no search, "
        "modules shared within each of oracle_groups",
    )
    oracle_groups: tuple[int, ...] | None = Field(
        None,
        description="for selection=oracle: a group number a task; tasks of a group share all "
        "their modules, block by block",
    )
    idle_modules: Literal["still", "momentum"] = Field(
        "still",
        description="modules that nothing uses: left alone, or moved on by Adam's momentum",
    )
    refine: Literal["before_evaluation", "after_evaluation"] = Field(
        "before_evaluation",
        description="whether the evaluation at a generation's end sees the survivors alone or all "
        "candidates merged",
    )
    search_generations: int | None = Field(
        None,
        ge=0,
        description="generations with challengers; what follows trains the mapping that is found; "
        "default: all",
    )
    save_best: bool = Field(
        False,
        description="when the search ends, go back to the generation that validation prefers",
    )
    best_by: str = Field(
        "relative",
        description="what validation prefers: the smallest mean over tasks of loss / first loss "
        "(relative), of the losses (mean), or the loss of the named task",
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
