"""A run's complete configuration, validated."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class NamedOptions(BaseModel):
    """A plugin's name and, beside it, its options; the plugin validates those."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside ``name``."""
        return dict(self.model_extra or {})


class BackboneConfig(BaseModel):
    """Which network, how it is cut into units, and which units may be shared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("resnet18", description="a timm model or a plugin's backbone")
    pretrained: bool = Field(False, description="start every weight from timm's pretrained ones")
    granularity: Literal["block", "stage"] = Field("block", description="size of a unit")
    shared: tuple[str, ...] = Field(
        ("stem",), description="units, by name or glob, that all tasks always share"
    )
    shareable: tuple[str, ...] = Field(
        ("*",), description="units, by name or glob, that get a weight bank; the rest is shared"
    )
    small_images: bool = Field(
        False, description="ResNets: 3x3 stem with stride 1 and no max-pool (the CIFAR form)"
    )
    normalization: Literal["shared", "task", "pooled"] = Field(
        "shared",
        description="batch norm: one running average a weight, one a weight and task, or "
        "statistics pooled over all tasks of a weight",
    )
    args: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of the model's constructor"
    )


class RunConfig(BaseModel):
    """Everything that determines a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: NamedOptions = NamedOptions(name="lws")
    backbone: BackboneConfig = BackboneConfig()
    suite: NamedOptions = NamedOptions(name="alphabets")
    iterations: int = Field(300, ge=1, description="steps of the strategy's training loop")
    seed: int = Field(0, ge=0, lt=2**31, description="of weights, batches and sampling")
    batch_size: int = Field(16, ge=1, description="training examples a task, unless it has its own")
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["fp32", "bf16"] = "fp32"
    eval_every: int = Field(100, ge=1, description="iterations between evaluations")
    eval_batch_size: int = Field(256, ge=1, description="rows a forward pass when evaluating")
    log_every: int = Field(10, ge=1, description="iterations between lines of metrics.jsonl")
    memory_budget: int | None = Field(
        None, ge=1, description="MiB for the activations of one pass; larger passes run in chunks"
    )
