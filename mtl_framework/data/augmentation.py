"""The section ``augmentation`` of a run's config: what is done to training images."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class AugmentationConfig(BaseModel):
    """Augmentation is what is done to a task's training images each time that they are read.

    The order is: crop, pad, flips, colours, policy, transforms, erase; then, on whole batches,
    mixup and cutmix.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    crop: tuple[float, float] | None = Field(
        default=None,
        description="smallest and largest share of an image's area that is cut out and resized to "
        "the whole, e.g. [0.08, 1] (torchvision's RandomResizedCrop)",
    )
    pad: int = Field(
        default=0,
        ge=0,
        le=512,
        description="black pixels added on every side before a random crop of the image's own size",
    )
    hflip: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="probability that an image is mirrored (left and right)",
    )
    vflip: float = Field(
        default=0.0, ge=0, le=1, description="probability that an image is turned upside down"
    )
    colour_jitter: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="largest relative change of brightness, contrast and saturation",
    )
    policy: str | None = Field(
        default=None,
        description="a policy of timm's with its options, e.g. rand-m9-mstd0.5-inc1, augmix-m3-w3, "
        "original-mstd0.5, 3a; or of torchvision's: trivial, randaugment, autoaugment",
    )
    transforms: tuple[str | dict[str, Any], ...] = Field(
        default=(),
        description="further transforms of torchvision.transforms.v2: names, or mappings with name "
        "and arguments",
    )
    erase: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="probability of a rectangle that is made black (torchvision's RandomErasing)",
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha of mixup (Beta distribution of the "
        "mixing share, as timm has it); 0: no mixup",
    )
    cutmix: float = Field(
        default=0.0,
        ge=0,
        description="alpha of cutmix (Beta distribution of "
        "the area pasted in, as timm has it); 0: no cutmix",
    )
    mix_probability: float = Field(
        default=1.0, gt=0, le=1, description="probability that a batch is mixed"
    )
    mix_switch: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the mixed batches that get cutmix, where both mixup and cutmix are "
        "on",
    )
