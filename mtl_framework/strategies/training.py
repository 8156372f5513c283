"""The section ``training`` of a run's config says how weights are trained, whatever shares them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OptimizerConfig(BaseModel):
    """This is an optimiser of timm's; keys beside ``name`` are its options, e.g. ``betas``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="name of an optimiser in timm, e.g. adamw, sgd, lamb, muon")

    @property
    def options(self) -> dict[str, Any]:
        """Return the keys beside ``name``."""
        return dict(self.model_extra or {})


class WeightingConfig(OptimizerConfig):
    """This is a method of TorchJD's; keys beside ``name`` are its options, e.g. ``c`` of cagrad."""

    name: str = Field(description="name of a method, e.g. upgrad, mgda, pcgrad, geometric_mean")


class ScheduleConfig(_Section):
    """The learning rate has a schedule; times are steps of the optimiser, one an iteration."""

    name: Literal[
        "constant", "cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "plateau"
    ] = Field(
        default="constant", description="schedule of timm's, or plateau (torch's, by validation)"
    )
    warmup: int = Field(
        default=0,
        ge=0,
        description="number of steps in which the learning rate rises linearly at the start; "
        "rsqrt needs one or more",
    )
    warmup_learning_rate: float = Field(
        default=1e-5, ge=0, description="learning rate at the beginning of the warm-up"
    )
    min_learning_rate: float = Field(
        default=0.0,
        ge=0,
        description="learning rate that cosine, tanh, poly, wsd, rsqrt and plateau end at",
    )
    decay_every: int | None = Field(
        default=None, ge=1, description="steps between decays of schedule step"
    )
    decay_at: tuple[int, ...] = Field(
        default=(), description="steps at which schedule multistep decays"
    )
    decay_rate: float = Field(
        default=0.1,
        gt=0,
        description="factor of a decay of step, multistep and plateau; the power of schedule poly",
    )
    decay_share: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="share of the steps, the last ones, in which wsd and rsqrt decay",
    )
    patience: int = Field(
        default=10,
        ge=0,
        description="evaluations without a better validation that plateau waits for",
    )
    length: int | None = Field(
        default=None,
        ge=1,
        description="steps that the schedule is laid out for; default: the iterations",
    )

    @model_validator(mode="after")
    def _fits(self) -> "ScheduleConfig":
        if (self.name == "step") != (self.decay_every is not None):
            raise ValueError("should have decay_every exactly with name: step")
        if (self.name == "multistep") != bool(self.decay_at):
            raise ValueError("should have decay_at exactly with name: multistep")
        if self.name == "plateau" and self.warmup:
            raise ValueError("should have warmup: 0 with name: plateau")
        if self.name == "rsqrt" and not self.warmup:
            raise ValueError("should have warmup of at least 1 with name: rsqrt, its unit of time")
        return self


class AverageConfig(_Section):
    """Weights, those of all banks too, and running statistics have a moving average."""

    name: Literal["ema", "swa"] = Field(
        default="ema", description="ema: exponential moving average; swa: plain mean of all steps"
    )
    decay: float = Field(
        default=0.999, ge=0, lt=1, description="share of the old average in an ema"
    )
    warmup: bool = Field(
        default=True,
        description="whether that share is at most (1 + n) / (10 + n) at the n-th step of an ema, "
        "so that it is never of much more than the last tenth of the steps so far; without, an "
        "average from the start holds on to random weights for a few times 1 / (1 - decay) steps",
    )
    start: int = Field(
        default=0,
        ge=0,
        description="iterations before the average begins; until then it is the weights",
    )
    evaluate: Literal["averaged", "raw", "both"] = Field(
        default="averaged",
        description="which weights are evaluated, reported and used by predictions; both: the "
        "averaged ones, and the raw ones beside them",
    )


class TrainingConfig(_Section):
    """These options say how weights are trained by any strategy with the host's optimiser.

    What is left out is the strategy's own choice, its paper's where there is one.
    """

    optimizer: Annotated[OptimizerConfig | None, BeforeValidator(_named)] = Field(
        default=None,
        description="optimiser of the weights: its name in timm, or a mapping with name and "
        "options; default: the strategy's",
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="learning rate of the weights; default: the strategy's"
    )
    weight_decay: float | None = Field(
        default=None,
        ge=0,
        description="weight decay of the weights; default: the strategy's, mostly none",
    )
    decay_norms_and_biases: bool = Field(
        default=False,
        description="whether weight_decay holds for norms, biases and what the backbone excepts",
    )
    layer_decay: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="factor by which the learning rate falls from each group of the backbone's "
        "layers to the one before it, towards the input (BEiT, 2021)",
    )
    head_factor: float = Field(
        default=1.0, gt=0, description="factor of the heads' learning rate, times the learning rate"
    )
    schedule: Annotated[ScheduleConfig, BeforeValidator(_named)] = Field(
        default=ScheduleConfig(),
        description="how the learning rate changes: a name, or name and options",
    )
    clip: float | None = Field(
        default=None,
        gt=0,
        description="limit of the gradient: of its norm over all weights, or of every entry "
        "(see clip_by); default: no limit",
    )
    clip_by: Literal["norm", "value"] = Field(
        default="norm",
        description="what clip limits: the gradient's norm over all weights, or the value of "
        "every entry",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description="number of steps whose gradients are averaged before the weights move",
    )
    average: Annotated[AverageConfig | None, BeforeValidator(_named)] = Field(
        default=None, description="moving average of the weights: ema or swa, or name and options"
    )
    unused_weights: Literal["skip", "move"] = Field(
        default="skip",
        description="what happens to weights that no task used in a step, and to a task's own part "
        "of mixing weights where it has no label: they are left alone (skip), or moved on by "
        "weight decay and momentum as with a gradient of zero",
    )
    weighting: Annotated[WeightingConfig | None, BeforeValidator(_named)] = Field(
        default=None,
        description="how the gradients of tasks that meet in a weight become one, by TorchJD: a "
        "name, or name and options; default: their sum, weighted as the strategy says",
    )
    stop_after: int | None = Field(
        default=None,
        ge=1,
        description="number of evaluations in a row without a better validation after which the "
        "run ends; default: all iterations are done",
    )
    report: Literal["last", "best"] = Field(
        default="last",
        description="networks whose figures are the run's: those after the last step, or the "
        "best: those that validation prefers",
    )
