"""A part of a run's configuration names a backbone and how it is cut."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]


class PlainBackboneConfig(BaseModel):
    """These keys choose a network; the own backbone of a task has no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name of a timm model or of a plugin's backbone")
    pretrained: bool = Field(
        default=False, description="whether every weight starts from timm's pretrained ones"
    )
    small_images: bool = Field(
        default=False,
        description="whether a ResNet gets a 3x3 stem with stride 1 and no max-pool (its form "
        "for CIFAR's small images)",
    )
    unread_pixels: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="largest share of an image's pixels that the network may leave unread, as one "
        "does whose patches do not divide the image; more is refused",
    )
    args: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of the model's constructor"
    )


class BackboneConfig(PlainBackboneConfig):
    """These keys choose a network, how it is cut into units, and which units may be shared."""

    name: str = Field(
        default="resnet18", description="name of a timm model or of a plugin's backbone"
    )
    granularity: Literal["block", "stage"] = Field(
        default="block", description="size of a unit: one block of the network, or a whole stage"
    )
    shared: Patterns = Field(
        default=("stem",), description="units, by name or glob, that all tasks always share"
    )
    shareable: Patterns = Field(
        default=("*",),
        description="units, by name or glob, that get a weight bank; the rest is shared",
    )
    normalization: Literal["auto", "shared", "task", "pooled"] = Field(
        default="auto",
        description="batch norm: one running average a weight (shared), one a weight and task "
        "(task), or statistics pooled over all tasks of a weight; auto: task, but shared where all "
        "tasks read the same inputs, whose common rows then count once",
    )
