"""Checks that images and the maps that are their targets can be transformed together."""

from ..support.errors import MtlError
from .examples import Examples
from .objectives import Objective
from .transforms import ImageTransform

#: They move pixels along rows and columns, or do not move them.
FIT = (
    "CenterCrop", "ColorJitter", "GaussianBlur", "GaussianNoise", "Grayscale", "Identity", "RGB",
    "RandomAdjustSharpness", "RandomAutocontrast", "RandomChannelPermutation", "RandomCrop",
    "RandomEqualize", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert",
    "RandomPhotometricDistort", "RandomPosterize", "RandomResizedCrop", "RandomSolarize",
    "RandomVerticalFlip", "Resize",
)  # fmt: skip


def check_maps(examples: Examples, objective: Objective, split: str) -> None:
    """Raise an error on transforms after which images and maps would no longer agree.

    Raises:
        MtlError: naming the transform, or the sizes.
    """
    transform = examples.transform
    if not objective.is_map or transform is None:
        return
    if split != "train":
        raise MtlError("images of maps are transformed in training only: resize the data instead")
    sizes = tuple(examples.inputs.shape[-2:]), tuple(examples.targets.shape[-2:])
    if sizes[0] != sizes[1]:
        raise MtlError(
            "images that are transformed with their maps should have their height and "
            "width, found "
            f"images of {sizes[0]} and maps of {sizes[1]}"
        )
    check_fit(transform)


def check_fit(transform: ImageTransform) -> None:
    """Raise an error on a transform that cannot be applied to maps as well.

    Raises:
        MtlError: naming it.
    """
    for entry in transform.entries:
        if entry["name"] not in FIT:
            raise MtlError(
                f"transform {entry['name']} cannot be applied to maps as well; tasks with "
                "maps allow "
                f"{', '.join(FIT)}"
            )
